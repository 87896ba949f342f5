"""`make demo`: a two-concept picture of the toy world, made by the extension on devhost."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from devhost.txt2img import SIDE_PX, Request, generate
from toyworld.identity import CAST
from toyworld.scene import caption

if TYPE_CHECKING:
    from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
NAMES = ("rex", "ida")
"""A man and a woman of the cast."""
CLASS_WORDS = [CAST[name].class_word for name in NAMES]
PLACE, LIGHT = "beach", "day"
PROMPT = caption(CLASS_WORDS, PLACE, LIGHT)
MERGED = caption(CLASS_WORDS, PLACE, LIGHT, {i: CAST[name].words for i, name in enumerate(NAMES)})
SETTINGS = {
    "concepts": [{"class_word": CAST[name].class_word, "loras": [{"name": name}]} for name in NAMES],
    "show_pictures": True,
}
SCALE = 2
CAPTION_PX = 18


def main(arguments: list[str]) -> int:
    """Make the pictures and name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "demo", help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=4)
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
    plain = generate(Request(PROMPT, seed))
    final, layout, masks = generate(Request(PROMPT, seed), SETTINGS)
    merged = MERGED + "".join(map(lora_tag, NAMES))
    return {
        "plain": plain[0],
        "layout": layout,
        "masks": masks,
        "omg": final,
        "merged-in-one-prompt": generate(Request(merged, seed))[0],
        **{f"{name}-alone": generate(Request(alone(name), seed))[0] for name in NAMES},
    }


def alone(name: str) -> str:
    """The prompt of one of the cast, with the LoRA."""
    member = CAST[name]
    return caption([member.class_word], PLACE, LIGHT, {0: member.words}) + lora_tag(name)


def lora_tag(name: str) -> str:
    """What calls a LoRA in a prompt."""
    return f"<lora:{name}:1>"


def contact_sheet(pictures: dict[str, Image.Image]) -> Image.Image:
    """All pictures in a row, captioned."""
    from PIL import Image, ImageDraw

    side = SIDE_PX * SCALE
    sheet = Image.new("RGB", (side * len(pictures), side + CAPTION_PX), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    for column, (name, image) in enumerate(pictures.items()):
        sheet.paste(image.convert("RGB").resize((side, side), Image.LANCZOS), (column * side, CAPTION_PX))
        draw.text((column * side + 4, 3), name.replace("-", " "), fill=(235, 235, 235))
    return sheet


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
