"""Draws the plans' pictures with the methods, on a host that is started when the first one is asked for."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import fingerprints, host
from bench.fingerprints import REPOSITORY
from bench.methods import METHODS
from bench.methods.base import Resources, segment_with
from bench.methods.omg import Omg, OmgOptions, PromptForm
from bench.plans import LAYOUT, OURS, TRUTH, Draw, Variant
from lib_omg.core.settings import OmgSettings, View
from toyworld.identity import CAST
from toyworld.scene import draw_scene

if TYPE_CHECKING:
    import numpy as np

    from bench.cases import Case
    from bench.host import Host
    from bench.instruments import Detector
    from bench.methods.base import Method

_ENUMS = {"view": View, "prompt_form": PromptForm}
_EXTENSION_ROOMS = ("core", "host", "vision")
Picture = Callable[[Draw], "np.ndarray"]


class _KeptLayouts(Resources):
    """Resources whose layouts are kept with all other pictures."""

    kept: Picture

    def layout(self, case: Case) -> np.ndarray:
        """See `Resources`."""
        return self.kept(Draw(LAYOUT, case))


class Painter:
    """Draws pictures.

    Args:
        weights_dir: see `devhost.datadir.make_data_dir`.
        detector: finds people for the methods that want regions.

    `picture` gives layouts; set it to what keeps them.
    """

    def __init__(self, weights_dir: Path, detector: Detector) -> None:
        self.weights_dir = weights_dir
        self.detector = detector
        self.picture: Picture = self.paint
        self._methods: dict[Variant, Method] = {}

    @cached_property
    def _host(self) -> Host:
        return host.boot(self.weights_dir)

    @cached_property
    def _resources(self) -> Resources:
        resources = _KeptLayouts(self._host, segment_with(self.detector))
        resources.kept = self.picture
        return resources

    def paint(self, draw: Draw) -> np.ndarray:
        """A picture uint8 (H, W, 3), drawn anew."""
        case = draw.case
        if draw.variant == TRUTH:
            identities = [CAST[name].identity for name in case.names]
            return draw_scene(random.Random(case.seed), identities, case.place, case.light, case.width_px).image
        if draw.variant == LAYOUT:
            return self._host.draw(case.layout_prompt, case.seed, case.width_px)[0]
        if draw.variant not in self._methods:
            self._methods[draw.variant] = _method(draw.variant, self._resources)
        return self._methods[draw.variant].draw(case)


def omg_options(variant: Variant) -> OmgOptions:
    """The options of one of our variants."""
    values: dict[str, Any] = {name: _ENUMS.get(name, lambda v: v)(value) for name, value in variant.options}
    return OmgOptions(**values)


def _method(variant: Variant, resources: Resources) -> Method:
    if variant.options:
        return Omg(resources, omg_options(variant), variant.method, variant.label)
    return METHODS[variant.method](resources)


class Keys:
    """Hashes of all a picture depends on: method, options, case, weights and code.

    Args:
        weights_dir: as for `Painter`.
        detector_file: the detector's weights.
    """

    def __init__(self, weights_dir: Path, detector_file: Path) -> None:
        self.weights_dir = weights_dir
        self.detector_file = detector_file
        self._of_method: dict[str, str] = {}
        self._known: dict[Draw, str] = {}

    def key(self, draw: Draw) -> str:
        """Hash of a picture."""
        if draw not in self._known:
            self._known[draw] = self._made(draw)
        return self._known[draw]

    def _made(self, draw: Draw) -> str:
        case, method = draw.case, draw.variant.method
        if method not in self._of_method:
            self._of_method[method] = fingerprints.of_value([self._weights(method), _code(method)])
        what = [method, _options(draw), case.names, case.place, case.light, case.seed, case.close]
        return fingerprints.of_value([self._of_method[method], what])

    def _weights(self, method: str) -> str:
        folder = self.weights_dir
        files = [self.detector_file, *folder.glob("toy.*"), *folder.glob("clip/*")]
        files += [path for path in folder.rglob("*.safetensors") if path.stem in CAST or method in path.stem]
        return fingerprints.of_files(dict.fromkeys(path for path in files if path.is_file()))


def _options(draw: Draw) -> object:
    """Settings in full, so that a variant which only repeats the defaults is not drawn again."""
    if draw.variant.method != OURS.method:
        return []
    options = omg_options(draw.variant)
    settings = OmgSettings.from_dict(options.settings(draw.case)).to_dict(complete=True)
    return [settings, options.true_masks, options.switch]


def _code(method: str) -> str:
    entries = [REPOSITORY / "bench" / "host.py", REPOSITORY / "bench" / "cases.py"]
    entries += (REPOSITORY / "devhost" / "webui").rglob("*.py")
    if method in METHODS:
        entries.append(Path(inspect.getfile(METHODS[method])))
    if method.startswith(OURS.method):
        for room in _EXTENSION_ROOMS:
            entries += (REPOSITORY / "lib_omg" / room).rglob("*.py")
    return fingerprints.of_code(entries)
