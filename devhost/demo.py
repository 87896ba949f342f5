"""`make demo`: a two-concept picture of the toy world, made by the extension on devhost."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
PROMPT = "a man and a woman in the beach"
MERGED = "a rex man and an ida woman in the beach<lora:rex:1><lora:ida:1>"
SETTINGS = {
    "concepts": [
        {"class_word": "man", "loras": [{"name": "rex"}], "prompt_mode": "alone", "start": 0.2},
        {"class_word": "woman", "loras": [{"name": "ida"}], "prompt_mode": "alone", "start": 0.2},
    ],
    "view": "crop",
    "show_pictures": True,
}
SIZE_PX = 128
SCALE = 2
CAPTION_PX = 18


def main(arguments: list[str]) -> int:
    """Make the pictures and name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "demo", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("OMG").setLevel(logging.INFO)
    began = time.monotonic()
    from devhost import boot

    boot.boot()
    pictures = make_pictures(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, image in pictures.items():
        image.save(options.out / f"{name}.png")
    contact_sheet(pictures).save(options.out / "contact-sheet.png")
    told = "\n".join(f"  {options.out / name}.png" for name in [*pictures, "contact-sheet"])
    sys.stdout.write(f"\nMade in {time.monotonic() - began:.0f} s; look at contact-sheet first:\n{told}\n")
    return 0


def make_pictures(seed: int) -> dict[str, Image.Image]:
    """The demo's pictures by name."""
    plain = generate(PROMPT, seed)
    final, layout, masks = generate(PROMPT, seed, SETTINGS)
    return {
        "plain": plain[0],
        "layout": layout,
        "masks": masks,
        "omg": final,
        "merged-in-one-prompt": generate(MERGED, seed)[0],
        "rex-alone": generate("a rex man in the beach<lora:rex:1>", seed)[0],
        "ida-alone": generate("an ida woman in the beach<lora:ida:1>", seed)[0],
    }


def generate(prompt: str, seed: int, omg: dict[str, Any] | None = None) -> list[Image.Image]:
    """One generation of the txt2img tab."""
    from modules import processing, scripts, shared

    runner = scripts.scripts_txt2img
    values = [getattr(component, "value", None) for component in runner.inputs]
    values[0] = 0
    script = next(s for s in runner.alwayson_scripts if s.title() == "OMG")
    values[script.args_from] = omg if omg is not None else False
    fields = {"prompt": prompt, "seed": seed, "steps": 25, "width": SIZE_PX, "height": SIZE_PX, "cfg_scale": 5.0,
              "sampler_name": "DPM++ 2M", "scheduler": "Karras",
              "do_not_save_samples": True, "do_not_save_grid": True}  # fmt: skip
    with closing(processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, **fields)) as p:
        p.is_api = True
        p.scripts, p.script_args = runner, tuple(values)
        shared.state.begin(job="demo")
        try:
            return list(processing.process_images(p).images)
        finally:
            shared.state.end()


def contact_sheet(pictures: dict[str, Image.Image]) -> Image.Image:
    """All pictures in a row, captioned."""
    from PIL import Image, ImageDraw

    side = SIZE_PX * SCALE
    sheet = Image.new("RGB", (side * len(pictures), side + CAPTION_PX), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    for column, (name, image) in enumerate(pictures.items()):
        sheet.paste(image.convert("RGB").resize((side, side), Image.LANCZOS), (column * side, CAPTION_PX))
        draw.text((column * side + 4, 3), name.replace("-", " "), fill=(235, 235, 235))
    return sheet


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
