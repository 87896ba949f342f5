"""`<lora:name:te:unet:dyn>` in prompts."""

from __future__ import annotations

from typing import Any

import networks
from modules import extra_networks, shared


class ExtraNetworkLora(extra_networks.ExtraNetwork):
    """Loads the mentioned networks; `errors` counts layers that failed, by network."""

    def __init__(self) -> None:
        super().__init__("lora")
        self.errors: dict[str, int] = {}

    def activate(self, p: Any, params_list: list[extra_networks.ExtraNetworkParams]) -> None:
        """Load exactly the mentioned networks."""
        self.errors.clear()
        names, te, unet, dyn = [], [], [], []
        for params in params_list:
            given, named = params.positional, params.named
            text = float(named.get("te", float(given[1]) if len(given) > 1 else 1.0))
            rank = named.get("dyn", given[3] if len(given) > 3 else None)
            names.append(given[0])
            te.append(text)
            unet.append(float(named.get("unet", float(given[2]) if len(given) > 2 else text)))
            dyn.append(None if rank is None else int(rank))
        networks.load_networks(names, te, unet, dyn)
        if shared.opts.lora_add_hashes_to_infotext:
            self._add_hashes(p)

    def _add_hashes(self, p: Any) -> None:
        if not getattr(p, "is_hr_pass", False) or not hasattr(p, "lora_hashes"):
            p.lora_hashes = {}
        for net in networks.loaded_networks:
            if net.network_on_disk.shorthash and net.mentioned_name:
                name = net.mentioned_name.replace(":", "").replace(",", "")
                p.lora_hashes[name] = net.network_on_disk.shorthash
        if p.lora_hashes:
            p.extra_generation_params["Lora hashes"] = ", ".join(f"{k}: {v}" for k, v in p.lora_hashes.items())

    def deactivate(self, p: Any) -> None:
        """Tell of failed layers."""
        told = ", ".join(f"{name} ({count})" for name, count in self.errors.items())
        self.errors.clear()
        if told:
            p.comment(f"Networks with errors: {told}")
