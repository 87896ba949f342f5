"""The list of samplers."""

from __future__ import annotations

import logging
from typing import Any

from modules import (
    sd_samplers_common,
    sd_samplers_kdiffusion,
    sd_samplers_lcm,
    sd_samplers_timesteps,
    sd_schedulers,
    shared,
)

logger = logging.getLogger(__name__)
sample_to_image = sd_samplers_common.sample_to_image
all_samplers = (
    sd_samplers_kdiffusion.samplers_data_k_diffusion
    + sd_samplers_timesteps.samplers_data_timesteps
    + sd_samplers_lcm.samplers_data_lcm
)
all_samplers_map = {data.name: data for data in all_samplers}
samplers = samplers_for_img2img = all_samplers
samplers_map: dict[str, str] = {}


def set_samplers() -> None:
    """Fill the map of names and aliases."""
    samplers_map.clear()
    for data in all_samplers:
        samplers_map.update(dict.fromkeys([data.name.lower(), *(a.lower() for a in data.aliases)], data.name))


def find_sampler_config(name: str | None) -> Any:
    """Data of a sampler; the first for None."""
    return all_samplers[0] if name is None else all_samplers_map.get(name)


def create_sampler(name: str | None, model: Any) -> Any:
    """A sampler for one run.

    Raises:
        AssertionError: there is none of that name (the WebUI's type).
    """
    config = find_sampler_config(name)
    if config is None:
        raise AssertionError(f"bad sampler name: {name}")
    sampler = config.constructor(model)
    sampler.config = config
    return sampler


def visible_sampler_names() -> list[str]:
    """Names not hidden in the settings."""
    return [data.name for data in all_samplers if data.name not in shared.opts.hide_samplers]


def get_sampler_and_scheduler(
    sampler_name: str | None, scheduler_name: str | None, *, convert_automatic: bool = True
) -> tuple[str, str]:
    """Names of sampler and schedule; old names like "DPM++ 2M Karras" are split."""
    found = sd_schedulers.schedulers_map.get(scheduler_name, sd_schedulers.schedulers[0])
    name = sampler_name or all_samplers[0].name
    for scheduler in sd_schedulers.schedulers:
        for option in (scheduler.label, scheduler.name, *(scheduler.aliases or [])):
            if name.endswith(f" {option}"):
                found, name = scheduler, name[: -len(option) - 1]
                break
    sampler = all_samplers_map.get(name, all_samplers[0])
    if convert_automatic and sampler.options.get("scheduler") == found.name:
        found = sd_schedulers.schedulers[0]
    return sampler.name, found.label


def fix_p_invalid_sampler_and_scheduler(p: Any) -> None:
    """Replace unknown names on p."""
    before = p.sampler_name, p.scheduler
    p.sampler_name, p.scheduler = get_sampler_and_scheduler(*before, convert_automatic=False)
    if before != (p.sampler_name, p.scheduler):
        logger.warning("Sampler Scheduler autocorrection: %s -> %s", before, (p.sampler_name, p.scheduler))


set_samplers()
