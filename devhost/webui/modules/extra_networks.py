"""`<name:arg:arg>` in prompts, and the networks they switch on."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from modules import errors

logger = logging.getLogger(__name__)
extra_network_registry: dict[str, ExtraNetwork] = {}
extra_network_aliases: dict[str, ExtraNetwork] = {}
re_extra_net = re.compile(r"<(\w+):([^>]+)>")


class ExtraNetworkParams:
    """Arguments of one mention: `a` is positional, `a=b` is named."""

    def __init__(self, items: list[Any] | None = None) -> None:
        self.items = items or []
        self.positional: list[Any] = []
        self.named: dict[str, str] = {}
        for item in self.items:
            if isinstance(item, str) and item.count("=") == 1:
                name, _, value = item.partition("=")
                self.named[name] = value
            else:
                self.positional.append(item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExtraNetworkParams) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]


class ExtraNetwork:
    """A kind of network; `activate` is called on every run, with no arguments when it is not mentioned."""

    def __init__(self, name: str) -> None:
        self.name = name

    def activate(self, p: Any, params_list: list[ExtraNetworkParams]) -> None:
        """Switch to exactly the mentioned networks."""
        raise NotImplementedError

    def deactivate(self, p: Any) -> None:
        """After the run."""
        raise NotImplementedError


def initialize() -> None:
    """Forget all kinds."""
    extra_network_registry.clear()
    extra_network_aliases.clear()


def register_extra_network(extra_network: ExtraNetwork) -> None:
    """Add a kind."""
    extra_network_registry[extra_network.name] = extra_network


def register_extra_network_alias(extra_network: ExtraNetwork, alias: str) -> None:
    """Let a kind answer to another name."""
    extra_network_aliases[alias] = extra_network


def lookup_extra_networks(extra_network_data: dict[str, list[ExtraNetworkParams]]) -> dict[ExtraNetwork, list[Any]]:
    """Mentions by kind; unknown kinds are left out."""
    found: dict[ExtraNetwork, list[Any]] = {}
    for name, args in extra_network_data.items():
        kind = extra_network_registry.get(name) or extra_network_aliases.get(name)
        if kind is None:
            logger.info("Skipping unknown extra network: %s", name)
        else:
            found.setdefault(kind, []).extend(args)
    return found


def activate(p: Any, extra_network_data: dict[str, list[ExtraNetworkParams]]) -> None:
    """Activate mentioned kinds first, then all others with nothing; errors are reported and swallowed."""
    mentioned = lookup_extra_networks(extra_network_data)
    others = {kind: [] for kind in extra_network_registry.values() if kind not in mentioned}
    for kind, args in {**mentioned, **others}.items():
        try:
            kind.activate(p, args)
        except Exception as error:
            errors.display(error, f"activating extra network {kind.name} with arguments {args}")
    if p.scripts is not None:
        p.scripts.after_extra_networks_activate(
            p,
            batch_number=p.iteration,
            prompts=p.prompts,
            seeds=p.seeds,
            subseeds=p.subseeds,
            extra_network_data=extra_network_data,
        )


def deactivate(p: Any, extra_network_data: dict[str, list[ExtraNetworkParams]]) -> None:
    """Deactivate all kinds."""
    mentioned = lookup_extra_networks(extra_network_data)
    others = [kind for kind in extra_network_registry.values() if kind not in mentioned]
    for kind in [*mentioned, *others]:
        try:
            kind.deactivate(p)
        except Exception as error:
            errors.display(error, f"deactivating extra network {kind.name}")


def parse_prompt(prompt: str) -> tuple[str, dict[str, list[ExtraNetworkParams]]]:
    """Split a prompt into its text and its mentions."""
    found: dict[str, list[ExtraNetworkParams]] = defaultdict(list)

    def take(match: re.Match[str]) -> str:
        found[match.group(1)].append(ExtraNetworkParams(items=match.group(2).split(":")))
        return ""

    return re_extra_net.sub(take, prompt), found


def parse_prompts(prompts: list[str]) -> tuple[list[str], dict[str, list[ExtraNetworkParams]] | None]:
    """Texts of all prompts; mentions of the FIRST one only."""
    parsed = [parse_prompt(prompt) for prompt in prompts]
    return [text for text, _ in parsed], parsed[0][1] if parsed else None


def get_user_metadata(filename: str | None, lister: Any = None) -> dict[str, Any]:
    """The user's notes in the .json beside a network file; {} if there are none or they cannot be read."""
    path = None if filename is None else Path(filename).with_suffix(".json")
    if path is None or not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        errors.display(error, f"reading extra network user metadata from {path}")
        return {}
