"""The ways to draw several concepts into one picture that the tables compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from bench.methods.latent_couple import LatentCouple
from bench.methods.merge import Merge
from bench.methods.mix_of_show import MixOfShow
from bench.methods.omg import Omg, OmgOptions
from bench.methods.regional import RegionalPrompting
from bench.methods.trained import custom_diffusion, dreambooth, textual_inversion

if TYPE_CHECKING:
    from bench.methods.base import Method, Resources


def omg_true_masks(resources: Resources) -> Omg:
    """OMG told where everybody stands, in regions that grow as found ones do: what better masks could reach."""
    return Omg(resources, OmgOptions(true_masks=True), "omg_true_masks", "OMG (ours), true masks")


METHODS: Mapping[str, Callable[[Resources], Method]] = MappingProxyType(
    {
        "merge": Merge,
        "mix_of_show": MixOfShow,
        "regional_attention": RegionalPrompting,
        "latent_couple": LatentCouple,
        "dreambooth": dreambooth,
        "textual_inversion": textual_inversion,
        "custom_diffusion": custom_diffusion,
        "omg": Omg,
        "omg_true_masks": omg_true_masks,
    }
)
"""By name, in the order of the tables."""
