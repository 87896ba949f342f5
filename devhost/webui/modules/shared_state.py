"""The state of the running job, shared by the sampler, the API and the UI."""

from __future__ import annotations

import datetime
import logging
import time
from typing import Any

from modules import shared

logger = logging.getLogger(__name__)


class State:
    """Progress and stop flags of one job."""

    def __init__(self) -> None:
        self.server_start = time.time()
        self.time_start: float | None = None
        self.job = ""
        self.job_no = 0
        self.job_count = 0
        self.job_timestamp = "0"
        self._reset()

    def _reset(self) -> None:
        self.skipped = self.interrupted = self.stopping_generation = False
        self.processing_has_refined_job_count = False
        self.sampling_step = self.sampling_steps = 0
        self.current_latent: Any = None
        self.current_image: Any = None
        self.current_image_sampling_step = 0
        self.id_live_preview = 0
        self.textinfo: str | None = None

    def skip(self) -> None:
        """End the current batch early."""
        self.skipped = True

    def interrupt(self) -> None:
        """End the whole job now."""
        self.interrupted = True

    def stop_generating(self) -> None:
        """End the job after the current batch."""
        self.stopping_generation = True

    def begin(self, job: str = "(unknown)") -> None:
        """Start a job: clear every flag."""
        steps = self.sampling_steps  # the WebUI leaves this one standing
        self._reset()
        self.sampling_steps = steps
        self.time_start = time.time()
        self.job_count = -1
        self.job_no = 0
        self.job_timestamp = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
        self.job = job

    def end(self) -> None:
        """End the job; stop flags stay until the next begin."""
        self.job = ""
        self.job_count = 0

    def nextjob(self) -> None:
        """Count one pass as done."""
        only_between_passes = shared.opts.show_progress_every_n_steps == -1
        if only_between_passes and shared.opts.live_previews_enable:
            self.do_set_current_image()
        self.sampling_step = self.current_image_sampling_step = 0
        self.job_no += 1

    def dict(self) -> dict[str, Any]:
        """What the progress route tells."""
        names = ("skipped", "interrupted", "stopping_generation", "job", "job_count", "job_timestamp", "job_no")
        return {name: getattr(self, name) for name in (*names, "sampling_step", "sampling_steps")}

    def set_current_image(self) -> None:
        """Decode the current latent for the preview when enough steps went by."""
        every = shared.opts.show_progress_every_n_steps
        due = every != -1 and self.sampling_step - self.current_image_sampling_step >= every
        if shared.parallel_processing_allowed and due and shared.opts.live_previews_enable:
            self.do_set_current_image()

    def do_set_current_image(self) -> None:
        """Decode the current latent for the preview."""
        from modules import sd_samplers

        if self.current_latent is None:
            return
        self.assign_current_image(sd_samplers.sample_to_image(self.current_latent))
        self.current_image_sampling_step = self.sampling_step

    def assign_current_image(self, image: Any) -> None:
        """Put a PIL image up as the preview."""
        self.current_image = image
        self.id_live_preview += 1
