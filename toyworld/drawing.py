"""Draws one individual onto a transparent layer; every detail is some pixels wide, so that a latent can keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import ImageDraw

from toyworld.identity import COLOURS, HAIR, SKIN, Colour, Identity

if TYPE_CHECKING:
    from PIL import Image

INK: Colour = (18, 18, 22)
MOUTH: Colour = (150, 35, 40)
LEAF: Colour = (50, 125, 55)


@dataclass(frozen=True)
class Stand:
    """Where an individual stands, in the layer's pixels: centre x, the y of its feet, and its height."""

    x: float
    base: float
    height: float


def draw_identity(layer: Image.Image, identity: Identity, stand: Stand) -> None:
    """Draw an individual onto an RGBA layer.

    Args:
        layer: drawn on in place.
        identity: who.
        stand: where, in the layer's pixels.
    """
    {"man": _man, "woman": _woman, "dog": _dog, "vase": _vase, "lamp": _lamp}[identity.class_word](
        ImageDraw.Draw(layer), identity, stand
    )


def _oval(d: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
    d.ellipse([x - rx, y - ry, x + rx, y + ry], fill=fill)


def _block(d: ImageDraw.ImageDraw, x: float, y0: float, y1: float, half: float, fill: Colour) -> None:
    d.rectangle([x - half, y0, x + half, y1], fill=fill)


def _pattern(d: ImageDraw.ImageDraw, box: tuple[float, float, float, float], identity: Identity) -> None:
    """Fill a box with the identity's pattern, bold: finer ones get lost in latents of 8 px a cell."""
    if identity.pattern == "plain":
        return
    x0, y0, x1, y1 = box
    colour = COLOURS[identity.pattern_colour]
    periods = 3 if identity.pattern == "checks" else 2
    width, height = (x1 - x0) / periods, (y1 - y0) / periods
    for row in range(periods):
        if identity.pattern == "stripes":
            d.rectangle([x0, y0 + height * (row + 0.5), x1, y0 + height * (row + 1)], fill=colour)
        for column in range(periods):
            x, y = x0 + width * (column + 0.5), y0 + height * (row + 0.5)
            if identity.pattern == "dots":
                _oval(d, x, y, width * 0.35, height * 0.35, colour)
            if identity.pattern == "checks" and (row + column) % 2:
                d.rectangle([x - width / 2, y - height / 2, x + width / 2, y + height / 2], fill=colour)


@dataclass(frozen=True)
class _Body:
    """A person's measures."""

    radius: float
    head: float
    half: float
    shoulder: float
    hip: float


def _body(stand: Stand) -> _Body:
    radius = stand.height * 0.17
    head = stand.base - stand.height + radius * 1.45
    return _Body(radius, head, stand.height * 0.17, head + radius * 0.85, stand.base - stand.height * 0.32)


def _man(d: ImageDraw.ImageDraw, identity: Identity, stand: Stand) -> None:
    b, x, hair = _body(stand), stand.x, HAIR[identity.hair]
    if identity.style == "afro":
        _oval(d, x, b.head - b.radius * 0.35, b.radius * 1.5, b.radius * 1.3, hair)
    for side in (-1, 1):
        _block(d, x + side * b.half * 0.52, b.hip - 2, stand.base, b.half * 0.44, COLOURS[identity.bottom])
        _block(d, x + side * b.half * 1.28, b.shoulder + 3, b.hip, b.half * 0.28, SKIN[identity.skin])
    box = (x - b.half, b.shoulder, x + b.half, b.hip)
    d.rectangle(box, fill=COLOURS[identity.top])
    _pattern(d, box, identity)
    _face(d, identity, x, b)
    if identity.style == "short":
        d.pieslice([x - b.radius * 1.05, b.head - b.radius * 1.1, x + b.radius * 1.05, b.head + b.radius * 0.8],
                   180, 360, fill=hair)  # fmt: skip
    if identity.style == "mohawk":
        d.rounded_rectangle([x - b.radius * 0.34, b.head - b.radius * 1.45, x + b.radius * 0.34,
                             b.head - b.radius * 0.4], radius=3, fill=hair)  # fmt: skip
    _hat(d, identity, x, b)


def _woman(d: ImageDraw.ImageDraw, identity: Identity, stand: Stand) -> None:
    b, x, hair = _body(stand), stand.x, HAIR[identity.hair]
    if identity.style == "long":
        d.rounded_rectangle([x - b.radius * 1.3, b.head - b.radius * 0.9, x + b.radius * 1.3, b.head + b.radius * 2.4],
                            radius=b.radius * 0.8, fill=hair)  # fmt: skip
    for side in (-1, 1):
        if identity.style == "tails":
            _oval(d, x + side * b.radius * 1.35, b.head + b.radius * 0.5, b.radius * 0.5, b.radius * 1.15, hair)
        if identity.style == "bob":
            _oval(d, x + side * b.radius * 0.8, b.head + b.radius * 0.25, b.radius * 0.5, b.radius * 0.75, hair)
        _block(d, x + side * b.half * 0.42, b.hip, stand.base, b.half * 0.24, SKIN[identity.skin])
        _block(d, x + side * b.half * 1.1, b.shoulder + 3, b.hip - stand.height * 0.04, b.half * 0.24,
               SKIN[identity.skin])  # fmt: skip
    hem = stand.base - stand.height * 0.17
    d.polygon([(x - b.half * 0.8, b.shoulder), (x + b.half * 0.8, b.shoulder), (x + b.half * 1.5, hem),
               (x - b.half * 1.5, hem)], fill=COLOURS[identity.top])  # fmt: skip
    _pattern(d, (x - b.half * 0.8, b.shoulder, x + b.half * 0.8, hem), identity)
    _face(d, identity, x, b)
    d.pieslice([x - b.radius * 1.1, b.head - b.radius * 1.15, x + b.radius * 1.1, b.head + b.radius * 0.75], 180, 360,
               fill=hair)  # fmt: skip
    if identity.style == "bun":
        _oval(d, x, b.head - b.radius * 1.15, b.radius * 0.6, b.radius * 0.45, hair)
    _hat(d, identity, x, b)


def _face(d: ImageDraw.ImageDraw, identity: Identity, x: float, b: _Body) -> None:
    r = b.radius
    _oval(d, x, b.head, r, r, SKIN[identity.skin])
    if identity.accessory == "beard":
        d.chord([x - r, b.head - r, x + r, b.head + r], 15, 165, fill=HAIR[identity.hair])
    for side in (-1, 1):
        if identity.accessory == "glasses":
            _oval(d, x + side * r * 0.45, b.head + r * 0.08, r * 0.38, r * 0.32, INK)
        else:
            _oval(d, x + side * r * 0.4, b.head + r * 0.08, r * 0.16, r * 0.16, INK)
    if identity.accessory == "glasses":
        _block(d, x, b.head - r * 0.02, b.head + r * 0.16, r * 0.4, INK)
    _oval(d, x, b.head + r * 0.62, r * 0.3, r * 0.12, MOUTH)


def _hat(d: ImageDraw.ImageDraw, identity: Identity, x: float, b: _Body) -> None:
    if identity.accessory == "hat":
        colour, top = COLOURS[identity.bottom], b.head - b.radius
        _block(d, x, top - b.radius * 0.42, top + b.radius * 0.45, b.radius * 0.8, colour)
        _block(d, x, top + b.radius * 0.25, top + b.radius * 0.55, b.radius * 1.35, colour)


def _dog(d: ImageDraw.ImageDraw, identity: Identity, stand: Stand) -> None:
    x, h, fur = stand.x, stand.height, HAIR[identity.hair]
    dark = (int(fur[0] * 0.55), int(fur[1] * 0.55), int(fur[2] * 0.55))
    length, belly = h * 0.5, stand.base - h * 0.45
    side = 1 if identity.style == "pointed" else -1
    d.line([x - side * length * 0.8, belly - h * 0.1, x - side * length * 1.15, belly - h * 0.45], fill=fur,
           width=max(3, int(h * 0.13)))  # fmt: skip
    for leg in (-0.75, -0.3, 0.3, 0.75):
        _block(d, x + leg * length, belly, stand.base, h * 0.075, fur)
    _oval(d, x, belly, length, h * 0.22, fur)
    if identity.pattern != "plain":
        for spot, drop in ((-0.55, -0.02), (-0.05, 0.05), (0.4, -0.04)):
            _oval(d, x + spot * length, belly + drop * h, h * 0.085, h * 0.085, COLOURS[identity.pattern_colour])
    hx, hy = x + side * length * 0.85, belly - h * 0.28
    _oval(d, hx, hy, h * 0.22, h * 0.2, fur)
    d.line([hx - side * h * 0.26, hy + h * 0.04, hx + side * h * 0.02, hy + h * 0.24], fill=COLOURS[identity.top],
           width=max(4, int(h * 0.11)))  # fmt: skip
    _oval(d, hx + side * h * 0.2, hy + h * 0.06, h * 0.1, h * 0.08, dark)
    if identity.style == "pointed":
        d.polygon([(hx - h * 0.2, hy - h * 0.08), (hx - h * 0.12, hy - h * 0.36), (hx + h * 0.05, hy - h * 0.15)],
                  fill=dark)  # fmt: skip
    else:
        _oval(d, hx - side * h * 0.14, hy + h * 0.04, h * 0.08, h * 0.18, dark)
    _oval(d, hx + side * h * 0.06, hy - h * 0.03, h * 0.045, h * 0.045, INK if sum(fur) > 200 else COLOURS["white"])


def _vase(d: ImageDraw.ImageDraw, identity: Identity, stand: Stand) -> None:
    x, h, base, colour = stand.x, stand.height, stand.base, COLOURS[identity.top]
    if identity.accessory == "flowers":
        for shift, rise in ((-0.2, 0.98), (0.0, 1.1), (0.2, 0.98)):
            d.line([x, base - h * 0.7, x + shift * h, base - h * rise], fill=LEAF, width=4)
            _oval(d, x + shift * h, base - h * rise, h * 0.1, h * 0.1, COLOURS[identity.bottom])
    if identity.accessory == "handles":
        for side in (-1, 1):
            cx = x + side * h * 0.3
            d.ellipse([cx - h * 0.15, base - h * 0.72, cx + h * 0.15, base - h * 0.36], outline=colour,
                      width=max(4, int(h * 0.07)))  # fmt: skip
    waist, mouth = {"round": (0.36, 0.16), "tall": (0.2, 0.2), "bell": (0.34, 0.3)}[identity.style]
    _block(d, x, base - h * 0.85, base - h * 0.3, h * mouth * 0.75, colour)
    _block(d, x, base - h * 0.88, base - h * 0.78, h * mouth * 1.15, colour)
    if identity.style == "bell":
        d.polygon([(x - h * 0.16, base - h * 0.8), (x + h * 0.16, base - h * 0.8), (x + h * waist, base),
                   (x - h * waist, base)], fill=colour)  # fmt: skip
    elif identity.style == "tall":
        d.rounded_rectangle([x - h * waist, base - h * 0.75, x + h * waist, base], radius=h * 0.08, fill=colour)
    else:
        _oval(d, x, base - h * 0.33, h * waist, h * 0.33, colour)
    half = h * waist * (0.62 if identity.style != "tall" else 0.95)
    _pattern(d, (x - half, base - h * 0.58, x + half, base - h * 0.06), identity)


def _lamp(d: ImageDraw.ImageDraw, identity: Identity, stand: Stand) -> None:
    x, h, base, colour = stand.x, stand.height, stand.base, COLOURS[identity.top]
    _block(d, x, base - h * 0.6, base, h * 0.05, COLOURS[identity.bottom])
    d.pieslice([x - h * 0.26, base - h * 0.13, x + h * 0.26, base + h * 0.13], 180, 360, fill=COLOURS[identity.bottom])
    top, hem = base - h, base - h * 0.46
    half = h * 0.32
    if identity.style == "globe":
        _oval(d, x, (top + hem) / 2, half, (hem - top) / 2, colour)
        half *= 0.7
        top, hem = top + h * 0.06, hem - h * 0.06
    elif identity.style == "cone":
        d.polygon([(x - h * 0.15, top), (x + h * 0.15, top), (x + h * 0.4, hem), (x - h * 0.4, hem)], fill=colour)
        half *= 0.72
    else:
        d.rectangle([x - half, top, x + half, hem], fill=colour)
    _pattern(d, (x - half, top + h * 0.03, x + half, hem - h * 0.03), identity)
