"""devhost as an instrument: booted once with some weights, one sampler, one call a picture."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devhost.txt2img import Request, generate

if TYPE_CHECKING:
    import torch

HEIGHT_PX = 128
CELL_PX = 8
"""Pixels of the picture in one latent cell."""
LORA_WEIGHT = 1.0
_ALL_ROWS = {"omg_rows_per_batch": 16}
"""A tenth faster on a CPU: all concepts' rows in one UNet call."""

Forward = Callable[..., "torch.Tensor"]
"""`CFGDenoiser.forward`: x (B, C, H, W), sigma (B,) and keywords to denoised (B, C, H, W)."""
Wrap = Callable[[Any], Callable[[Forward], Forward]]
"""Given the run's CFGDenoiser just before sampling, when its networks are active: what to make of its `forward`."""


@dataclass(frozen=True)
class Schedule:
    """Noise levels: `calls` of a run's denoiser calls, falling; `table` (T,) of the model's timesteps, rising."""

    calls: tuple[float, ...]
    table: torch.Tensor


@dataclass(frozen=True)
class Host:
    """The running host; every method draws through the same sampler with the same settings."""

    steps: int = 16
    cfg_scale: float = 5.0

    def draw(
        self,
        prompt: str,
        seed: int,
        width_px: int,
        omg: Mapping[str, Any] | None = None,
        loras: Sequence[str] = (),
        denoiser: Wrap | None = None,
    ) -> list[np.ndarray]:
        """One generation of the txt2img tab.

        Args:
            omg: the extension's settings in their plain form; None: the extension is off.
            loras: merged by the host's own loader, all at `LORA_WEIGHT`.
            denoiser: wraps the run's denoiser; not together with `omg`, which wraps it too.

        Returns:
            Pictures uint8 (H, W, 3); the first is the result.

        Raises:
            ValueError: both `omg` and `denoiser` are given.
            LookupError: a LoRA isn't there; the host itself would draw on without it.
        """
        import networks

        if omg is not None and denoiser is not None:
            raise ValueError("expected omg or denoiser, found both: each wraps the run's denoiser")
        tags = "".join(f"<lora:{name}:{LORA_WEIGHT:g}>" for name in loras)
        request = Request(prompt + tags, seed, self.steps, width_px, HEIGHT_PX, self.cfg_scale)
        images = generate(request, omg, around=None if denoiser is None else lambda p: _wrapped(p, denoiser))
        active = [network.name for network in networks.loaded_networks]
        if active != list(loras):
            raise LookupError(f"expected the LoRAs {list(loras)} to be active, found {active}")
        return [np.asarray(image.convert("RGB")) for image in images]

    def schedule(self) -> Schedule:
        """The noise levels of every run; the sampler calls the denoiser once a step."""
        from modules import processing, sd_samplers, shared

        from lib_omg.host.model import schedule_sigmas

        asked = Request("", 0)
        run = processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, scheduler=asked.scheduler)
        with closing(run) as p:
            sigmas = sd_samplers.create_sampler(asked.sampler, shared.sd_model).get_sigmas(p, self.steps)
        return Schedule(tuple(sigmas[:-1].tolist()), schedule_sigmas())


def boot(weights_dir: Path, **settings: Any) -> Host:
    """Start devhost in this process, once.

    Args:
        weights_dir: see `devhost.datadir.make_data_dir`.
        settings: fields of `Host`.

    Raises:
        RuntimeError: a host is running already.
        FileNotFoundError: the folder has no checkpoint.
    """
    from devhost import boot as devhost
    from devhost.datadir import FASTEST_ATTENTION, make_data_dir

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    devhost.boot(make_data_dir(folder, weights_dir, settings={**FASTEST_ATTENTION, **_ALL_ROWS}))
    return Host(**settings)


def latent_size(width_px: int) -> tuple[int, int]:
    """(height, width) of a picture's latent in cells."""
    return HEIGHT_PX // CELL_PX, width_px // CELL_PX


@contextmanager
def _wrapped(p: Any, wrap: Wrap) -> Iterator[None]:
    """While open, p's next sampling run has its denoiser wrapped.

    The first thing the host asks of p once the sampler is there is its image conditioning: wrapped there, on this one
    instance, an error comes up to the caller; from a script's hook the host would swallow it and draw a plain picture.
    """
    from lib_omg.host.patching import replaced

    with ExitStack() as undo:

        def make(conditioning: Callable[..., Any]) -> Callable[..., Any]:
            def conditioned(*args: Any, **kwargs: Any) -> Any:
                denoiser = p.sampler.model_wrap_cfg
                undo.enter_context(replaced(denoiser, "forward", wrap(denoiser)))
                return conditioning(*args, **kwargs)

            return conditioned

        undo.enter_context(replaced(p, "txt2img_image_conditioning", make))
        yield
