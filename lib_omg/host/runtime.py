"""Between the host's script hooks and a session: nothing that goes wrong here may pass for a picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modules.processing import StableDiffusionProcessingTxt2Img

from lib_omg.core.errors import OmgError

from .kept_layouts import LayoutFolder
from .layout import SampleArguments
from .limits import Limits
from .loras import LoraLibrary
from .patching import replaced
from .session import Session
from .shelf import Shelf

if TYPE_CHECKING:
    from lib_omg.core.settings import OmgSettings

logger = logging.getLogger("OMG")

LAYOUT_KEY = "OMG layout"
"""The entry of PNG info that names the layout a picture is, or was drawn on."""

ReadSettings = Callable[[Sequence[Any]], "OmgSettings | None"]


@dataclass
class Runtime:
    """What the script holds: the running session, and the LoRAs of the last generation.

    Attributes:
        read_settings: the script's arguments to settings, None when off. to_infotext: settings to PNG info entries.
    """

    read_settings: ReadSettings
    to_infotext: Callable[[OmgSettings], dict[str, str]]
    library: LoraLibrary = field(default_factory=LoraLibrary)
    shelf: Shelf = field(default_factory=lambda: Shelf(LayoutFolder()))
    session: Session | None = None

    def prepare(self, p: Any, arguments: Sequence[Any]) -> None:
        """At the host's `before_process`: what a layout alone and an approved layout want of the picture.

        What is wrong with the settings is said by `begin`.
        """
        if not isinstance(p, StableDiffusionProcessingTxt2Img):
            return
        try:
            settings = self.read_settings(arguments)
            kept = self.shelf.get(settings.layout) if settings is not None and settings.layout else None
        except OmgError:
            return
        if settings is None:
            return
        if settings.layout_only:
            p.enable_hr = False
        elif kept is not None:
            if p.seed in (None, "", -1):
                p.seed, p.subseed = kept.seed, kept.subseed
            if p.n_iter * p.batch_size > 1:
                p.comment("OMG: an approved layout is for one picture; one was made.")
                p.n_iter = p.batch_size = 1

    def begin(self, p: Any, arguments: Sequence[Any]) -> None:
        """At the host's `process`: read the settings and guard the generation.

        The host swallows what hooks raise and goes on; so `p.sample` is guarded, which it doesn't swallow.
        """
        if not isinstance(p, StableDiffusionProcessingTxt2Img):
            return
        self.end()
        try:
            settings = self.read_settings(arguments)
            if settings is None:
                return
            approved = settings.layout and not settings.layout_only
            kept = self.shelf.get(settings.layout) if approved else None
            self.session = Session(p, settings, self.library, Limits.from_opts(), self.shelf, kept)
            p.extra_generation_params.update(self.to_infotext(settings))
            if settings.layout_only:
                p.extra_generation_params[LAYOUT_KEY] = self.session.layout_id
            elif kept is not None:
                p.extra_generation_params[LAYOUT_KEY] = kept.id
            _guard(p, self.session)
        except Exception as error:  # noqa: BLE001 - the host border
            self.end()
            _refuse(p, _explained(error))

    def before_sampling(self, p: Any) -> None:
        """At the host's `process_before_every_sampling`: take the sampler's next run."""
        if self.session is not None and self.session.p is p:
            _take(p.sampler, self.session, hires=bool(p.is_hr_pass))

    def pictures(self, p: Any, processed: Any) -> None:
        """At the host's `postprocess`: add the layout and mask pictures to the gallery, and end."""
        session = self.session
        if session is None or session.p is not p:
            return
        for image in session.shown:
            processed.images.append(image)
            processed.infotexts.append(processed.infotexts[0] if processed.infotexts else "")
        self.end()

    def end(self) -> None:
        """Let go of the running session; may be called any number of times."""
        session, self.session = self.session, None
        if session is not None:
            session.undo.close()
            session.regions.clear()


def _guard(p: Any, session: Session) -> None:
    """Make `p.sample` fail where OMG was asked for and didn't run."""

    def guard(sample: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            done = session.passes_done
            try:
                result = sample(*args, **kwargs)
            except BaseException:
                session.undo.close()
                raise
            if session.passes_done == done:
                session.undo.close()
                raise OmgError("OMG was on but did not run: another script took its place. See the console.")
            return result

        return guarded

    session.undo.enter_context(replaced(p, "sample", guard))


def _refuse(p: Any, error: OmgError) -> None:
    undo = ExitStack()

    def refuse(_sample: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*_args: Any, **_kwargs: Any) -> Any:
            undo.close()
            raise error

        return refused

    undo.enter_context(replaced(p, "sample", refuse))


def _take(sampler: Any, session: Session, *, hires: bool) -> None:
    """Replace the sampler's next `sample` (or `sample_img2img`) call by a session's pass."""
    name = "sample_img2img" if hires else "sample"
    undo = ExitStack()

    def take(original: Callable[..., Any]) -> Callable[..., Any]:
        def taken(p: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
            undo.close()  # from here on the sampler is as it was
            try:
                if hires:
                    noise, *args = args  # type: ignore[assignment]
                    arguments = _arguments(x, *args, **kwargs)
                    return session.hires_pass(lambda a: original(p, a.x, noise, *_positional(a)), arguments)
                arguments = _arguments(x, *args, **kwargs)
                return session.first_pass(lambda a: original(p, a.x, *_positional(a)), arguments)
            except Exception as error:
                raise _explained(error) from error

        return taken

    undo.enter_context(replaced(sampler, name, take))


def _arguments(
    x: Any, conditioning: Any, unconditional_conditioning: Any, steps: Any = None, image_conditioning: Any = None
) -> SampleArguments:
    return SampleArguments(x, conditioning, unconditional_conditioning, steps, image_conditioning)


def _positional(arguments: SampleArguments) -> tuple[Any, ...]:
    return arguments.cond, arguments.uncond, arguments.steps, arguments.image_conditioning


def _explained(error: Exception) -> OmgError:
    """The error as the user is told it; logged here, once, with its trace if it is ours to mend."""
    if isinstance(error, OmgError):
        logger.error("%s", error)
        return error
    logger.error("OMG failed", exc_info=error)
    if type(error).__name__ == "OutOfMemoryError":
        return OmgError(
            "OMG ran out of GPU memory. Lower the limits in Settings > OMG, the batch size or the picture's size."
        )
    return OmgError(f"OMG failed: {type(error).__name__}: {error}. The console has the details; turn OMG off to go on.")
