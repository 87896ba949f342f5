"""The loop all trainers share: warm-up and cosine decay, averaged weights, progress bar, resumable state."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from toyworld.writing import replacing

RUNS = Path(__file__).resolve().parents[2] / ".toyworld"
"""Where training states live: hours of work, never committed, kept by `make clean`."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast a run learns.

    `learning_rate` falls by a cosine to `final_rate` of itself in the last `decay` of the steps.
    """

    name: str
    steps: int
    learning_rate: float
    seed: int = 0
    warmup: int = 100
    decay: float = 1.0
    final_rate: float = 0.02
    ema: float = 0.999
    weight_decay: float = 1e-4
    beta2: float = 0.99
    clip: float | None = 1.0
    save_every: int = 250

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        start = self.steps * (1 - self.decay)
        gone = max(0.0, (step - start) / max(1.0, self.steps - start))
        fall = self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * fall


def generator(seed: int, step: int) -> torch.Generator:
    """Randomness of one step: a resumed run draws what an unbroken one would have drawn."""
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


def train(
    plan: Plan,
    models: Mapping[str, torch.nn.Module],
    loss_of: Callable[[int], torch.Tensor],
    folder: Path = RUNS,
    report: Callable[[int], None] | None = None,
) -> dict[str, dict[str, torch.Tensor]]:
    """Train to the plan's last step, going on from the folder's state where there is one.

    Args:
        plan: steps and rates.
        models: modules to train by name; left with the averaged weights.
        loss_of: loss of a step's own batch; all its randomness is to come from the step's number.
        folder: holds `<plan.name>.state`.
        report: called after every save with the number of steps done, with the averaged weights in place.

    Returns:
        State dicts of the averaged weights, by model name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.name}.state"
    parameters = [p for model in models.values() for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=plan.learning_rate, betas=(0.9, plan.beta2), weight_decay=plan.weight_decay
    )
    average = [p.detach().clone() for p in parameters]
    done = _load(path, models, optimizer, average)
    bar = tqdm(range(done, plan.steps), initial=done, total=plan.steps, desc=plan.name, mininterval=5, file=sys.stderr)
    running: float | None = None
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate(step)
        loss = loss_of(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if plan.clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, plan.clip)
        optimizer.step()
        share = min(plan.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - share)
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        bar.set_postfix(loss=f"{running:.4f}", refresh=False)
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            _save(path, step + 1, models, optimizer, average)
            if report is not None:
                with averaged(parameters, average):
                    report(step + 1)
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    return {name: model.state_dict() for name, model in models.items()}


@contextlib.contextmanager
def averaged(parameters: Sequence[torch.Tensor], average: Sequence[torch.Tensor]) -> Iterator[None]:
    """Put the averaged weights in for a while."""
    places, kept = list(parameters), [p.detach().clone() for p in parameters]
    with torch.no_grad():
        try:
            torch._foreach_copy_(places, list(average))
            yield
        finally:
            torch._foreach_copy_(places, kept)


def _save(
    path: Path,
    done: int,
    models: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer,
    average: list[torch.Tensor],
) -> None:
    state = {
        "done": done,
        "models": {name: model.state_dict() for name, model in models.items()},
        "optimizer": optimizer.state_dict(),
        "average": average,
    }
    with replacing(path) as part:
        torch.save(state, part)


def _load(
    path: Path,
    models: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer,
    average: list[torch.Tensor],
) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu")
    for name, model in models.items():
        model.load_state_dict(state["models"][name])
    optimizer.load_state_dict(state["optimizer"])
    for mean, kept in zip(average, state["average"], strict=True):
        mean.copy_(kept)
    return int(state["done"])


def options(description: str | None, steps: int | None) -> argparse.ArgumentParser:
    """The command line every trainer has.

    Args:
        description: what it trains.
        steps: where the command line tells none; None if that hangs on what is trained.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=RUNS, help="training states and what is trained")
    return parser


def half_precision() -> contextlib.AbstractContextManager[None]:
    """bfloat16 for what may run in it, where the CPU has AVX-512: 1.5 times faster there, else many times slower."""
    able = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=able)


def said_time(began: float) -> str:
    """Minutes since, for a log line."""
    return f"{(time.monotonic() - began) / 60:.1f} min"
