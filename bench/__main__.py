"""`make bench`: time and UNet rows of OMG against plain generation, as ratios within one run."""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from typing import Any

from devhost import boot
from devhost.txt2img import Request, generate

WORDS = ("man", "woman", "the", "in", "park")
PROMPT = "a man and a woman in the park"
ROUNDS = 3


def settings(count: int, view: str) -> dict[str, Any]:
    """`count` concepts side by side, every other one rex, else ida."""
    concepts = [
        {"class_word": word, "loras": [{"name": ("rex", "ida")[index % 2]}], "mask_source": "box",
         "box": [index / count, 0, (index + 1) / count, 1]}
        for index, word in enumerate(WORDS[:count])
    ]  # fmt: skip
    return {"concepts": concepts, "view": view}


def measure(omg: dict[str, Any] | None) -> dict[str, float]:
    """Median seconds and UNet rows of one generation."""
    from modules import shared

    rows: list[int] = []
    unet = shared.sd_model.model.diffusion_model
    handle = unet.register_forward_pre_hook(lambda _module, args: rows.append(args[0].shape[0]))
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        generate(Request(PROMPT, 1), omg)
        times.append(time.perf_counter() - began)
    handle.remove()
    return {"seconds": statistics.median(times), "rows": sum(rows) / ROUNDS}


def swapping(count: int) -> dict[str, float]:
    """What other regional tools pay: the host's weights rebuilt for each LoRA at every step, rows as in OMG."""
    import networks
    import torch
    from modules import shared

    unet = shared.sd_model.model.diffusion_model
    with torch.no_grad():
        c = shared.sd_model.get_learned_conditioning([PROMPT, ""])
    x, t = torch.randn(2, 4, 16, 16), torch.full((2,), 500.0)
    calls = 12  # of 25, those from the default start on
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(calls):
            networks.load_networks([])
            unet(x, t, context=c)
            for index in range(count):
                networks.load_networks([("rex", "ida")[index % 2]], [1.0], [1.0], [None])
                unet(x, t, context=c)
    swapped = time.perf_counter() - began
    networks.load_networks([])
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(calls * (1 + count)):
            unet(x, t, context=c)
    return {"seconds": swapped, "without_swaps": time.perf_counter() - began}


def main() -> int:
    """Print the table, then JSON."""
    logging.basicConfig(level=logging.ERROR)
    boot.boot()
    generate(Request(PROMPT, 1))  # warm
    results: dict[str, dict[str, float]] = {"plain": measure(None)}
    for view in ("centred", "crop"):
        for count in (1, 2, 3, 5):
            results[f"N={count} {view}"] = measure(settings(count, view))
    plain = results["plain"]
    out = sys.stdout
    out.write(f"{'run':14} {'UNet rows':>10} {'x plain':>8} {'time x plain':>13}\n")
    for name, result in results.items():
        ratio = result["rows"] / plain["rows"], result["seconds"] / plain["seconds"]
        out.write(f"{name:14} {result['rows']:10.0f} {ratio[0]:8.2f} {ratio[1]:13.2f}\n")
    swapped = swapping(2)
    ratio_swaps = swapped["seconds"] / swapped["without_swaps"]
    out.write(f"weights swapped at every step instead (N=2, concept pass only): {ratio_swaps:.2f} x the time\n")
    out.write(json.dumps({"results": results, "swapping": swapped}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
