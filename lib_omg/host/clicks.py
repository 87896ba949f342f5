"""What the layout board asks of a kept layout: the masks that will be used, and Segment Anything's answer to clicks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modules import devices

from lib_omg.core.settings import OmgSettings

from . import model_files
from .regions import finished_masks, see_again

if TYPE_CHECKING:
    import torch

    from lib_omg.vision.sam import SamSession

    from .shelf import KeptLayout

IDLE_SECONDS = 60.0
"""Without a click for so long, Segment Anything is let go."""


def final_masks(kept: KeptLayout, plain: Mapping[str, Any]) -> torch.Tensor:
    """The masks that a run on this layout would blend with: (N, H, W) in 0..1 at latent size.

    Args:
        plain: the run's settings in their plain form.

    Raises:
        SettingsError: a setting is wrong.
    """
    settings = OmgSettings.from_dict(plain)
    size = kept.instances[0].mask.shape if kept.instances else kept.size
    seen = see_again(settings, kept.instances, (size[0], size[1]), kept.likeness)
    return finished_masks(seen.regions, settings, kept.size)


@dataclass
class Clicks:
    """Segment Anything on one picture, from its first click until nobody clicks any more."""

    _session: SamSession | None = None
    _of: str = ""
    _timer: threading.Timer | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def outline(self, kept: KeptLayout, points: Any, box: Any) -> torch.Tensor:
        """What is there at the clicks: (H, W) of 0 and 1.

        Args:
            points: [[x, y, 1 or 0], ...] in fractions, 1 is inside. box: [left, top, right, bottom] or None.

        Raises:
            SourceUnavailable: there is no model file. ValueError: the clicks are no clicks.
        """
        from lib_omg.vision.sam import SamSession
        from lib_omg.vision.sam_prompts import checked_prompt

        prompt = checked_prompt(points, box)
        with self._lock:
            self._stop_timer()
            if self._session is None or self._of != kept.id:
                self.close()
                session = SamSession(model_files.sam_file(), devices.device)
                session.set_picture(kept.picture)
                self._session, self._of = session, kept.id
            try:
                mask = self._session.outline(prompt).mask
            except BaseException:
                self.close()
                raise
            self._timer = threading.Timer(IDLE_SECONDS, self.close)
            self._timer.daemon = True
            self._timer.start()
            return mask

    def close(self) -> None:
        """Let the model go; may be called any number of times."""
        with self._lock:
            self._stop_timer()
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
