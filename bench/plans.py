"""What the tables draw: cases, methods, variants of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType

from bench.cases import Case, PairKind, close, crowd, pairs

Option = tuple[str, str | float | bool]

SAME_CLASS = (PairKind.MAN_MAN, PairKind.WOMAN_WOMAN)
PEOPLE_KINDS = (PairKind.MAN_WOMAN, *SAME_CLASS)
STARTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
TABLES = (1, 2, 3, 4, 5, 6)
_OURS = "omg"


@dataclass(frozen=True)
class Variant:
    """A method by its name in the registry; of ours also fields of `OmgOptions` that differ from the defaults.

    Raises:
        ValueError: options of another method than ours, which knows none and would draw as if they weren't there.
    """

    label: str
    method: str
    options: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        if self.options and self.method != _OURS:
            raise ValueError(f"{self.method}: expected no options, found {dict(self.options)}")


@dataclass(frozen=True)
class Draw:
    """One picture: a case by a variant."""

    variant: Variant
    case: Case


LAYOUT = Variant("layout", "layout")
"""The plain picture of the layout prompt."""
TRUTH = Variant("drawn truth", "truth")
"""No method: the case as the world itself draws it, which says how far the instruments can be trusted."""
OURS = Variant("omg", _OURS)
OURS_TRUE_MASKS = Variant("omg, true masks", "omg_true_masks")
MERGE = Variant("merge", "merge")
MIX_OF_SHOW = Variant("mix of show", "mix_of_show")
REGIONAL = Variant("regional attention", "regional_attention")
LATENT_COUPLE = Variant("latent couple", "latent_couple")
OTHERS = (
    MERGE,
    MIX_OF_SHOW,
    REGIONAL,
    LATENT_COUPLE,
    Variant("dreambooth", "dreambooth"),
    Variant("textual inversion", "textual_inversion"),
    Variant("custom diffusion", "custom_diffusion"),
)
METHODS = (*OTHERS, OURS, OURS_TRUE_MASKS)
OF_CROWDS = (MERGE, MIX_OF_SHOW, REGIONAL, LATENT_COUPLE, OURS, OURS_TRUE_MASKS)
"""Methods of table 3, where pictures cost most."""
SECONDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {LAYOUT.method: (1.7, 0.0), "mix_of_show": (2.1, 0.2), "regional_attention": (2.3, 0.1),
     "latent_couple": (2.2, 1.0), OURS.method: (1.9, 1.9), "omg_true_masks": (1.9, 1.9), TRUTH.method: (0.02, 0.0)}
)  # fmt: skip
"""About what a picture of `_NARROWEST_PX` takes on one core with AVX2, and how much more with each concept."""
_OTHER_SECONDS = (2.1, 0.0)
_NARROWEST_PX = 128


def ours(label: str, **options: str | float | bool) -> Variant:
    """OMG with other settings than its defaults."""
    return Variant(label, OURS.method, tuple(sorted(options.items())))


NO_PRESERVATION = ours("no layout preservation", attention_strength=0.0, self_attention_end=0.0)
PROMPTS = tuple(
    ours(f"{form}, {view}", view=view, prompt_form=form)
    for view, forms in (
        ("centred", ("scene", "alone", "scene, then alone", "alone, then scene")),
        ("whole", ("scene", "alone")),
        ("crop", ("scene", "alone")),
    )
    for form in forms
)
OTHERS_SEEN = (
    ours("others seen", hide_others=False),
    ours("others seen, scene", hide_others=False, prompt_form="scene"),
    ours("others seen, scene, start 0.3", hide_others=False, prompt_form="scene", start=0.3),
)
BY_START = tuple(ours(f"start {start:g}", start=start) for start in STARTS)
ABLATIONS: Mapping[str, tuple[Variant, ...]] = MappingProxyType(
    {
        "layout preservation": (OURS, NO_PRESERVATION),
        "concept prompt and view": (OURS, *PROMPTS),
        "other concepts": (OURS, *OTHERS_SEEN),
        "start": (OURS, *BY_START),
        "masks": (OURS, OURS_TRUE_MASKS),
    }
)


@dataclass(frozen=True)
class Plan:
    """Everything to draw.

    Attributes:
        methods: of tables 1, 2, 5, 6 and the overlapping people.
        pairs: cases by kind, the cells of table 2; tables 5 and 6 look at the same pictures.
        single_base: those of the pairs whose concepts are drawn alone as well.
        crowds: cases by count, two and more; every member of the largest is drawn alone as well.
        crowd_methods: of table 3.
        ablation_cases, ablations: of table 4, by heading.
        strip_cases: those of the start-step strip.
        close_cases: those of the people who hide each other.
    """

    methods: tuple[Variant, ...]
    pairs: Mapping[PairKind, tuple[Case, ...]]
    single_base: tuple[Case, ...]
    crowds: Mapping[int, tuple[Case, ...]]
    crowd_methods: tuple[Variant, ...]
    ablation_cases: tuple[Case, ...]
    ablations: Mapping[str, tuple[Variant, ...]]
    strip_cases: tuple[Case, ...]
    close_cases: tuple[Case, ...]

    @property
    def pair_cases(self) -> tuple[Case, ...]:
        """The cases of all kinds."""
        return tuple(case for cases in self.pairs.values() for case in cases)

    @property
    def measured(self) -> tuple[Variant, ...]:
        """The methods and, for comparison, the truth."""
        return (*self.methods, TRUTH)

    @property
    def people_cases(self) -> tuple[Case, ...]:
        """The cases of the kinds that show two people."""
        return tuple(case for kind in PEOPLE_KINDS for case in self.pairs[kind])

    @property
    def largest(self) -> int:
        """The largest count of concepts."""
        return max(self.crowds)

    @property
    def groups(self) -> tuple[Case, ...]:
        """All cases of two and more."""
        cases = (*self.pair_cases, *(case for crowd in self.crowds.values() for case in crowd))
        return tuple(dict.fromkeys((*cases, *self.single_base, *self.ablation_cases, *self.strip_cases,
                                    *self.close_cases)))  # fmt: skip

    def with_cases(self, chosen: Mapping[Case, Case]) -> Plan:
        """The plan with other cases in the place of its own."""

        def of(cases: Iterable[Case]) -> tuple[Case, ...]:
            return tuple(chosen.get(case, case) for case in cases)

        return replace(
            self, pairs={kind: of(cases) for kind, cases in self.pairs.items()}, single_base=of(self.single_base),
            crowds={size: of(cases) for size, cases in self.crowds.items()}, ablation_cases=of(self.ablation_cases),
            strip_cases=of(self.strip_cases), close_cases=of(self.close_cases),
        )  # fmt: skip

    def draws(self, tables: Iterable[int]) -> list[Draw]:
        """What some tables need, every picture once, method by method."""
        wanted: dict[Draw, None] = {}
        for table in tables:
            for variants, cases in self._blocks(table):
                wanted.update((Draw(variant, case), None) for variant, case in product(variants, cases))
        turn = {method: number for number, method in enumerate(dict.fromkeys(draw.variant.method for draw in wanted))}
        return sorted(wanted, key=lambda draw: (draw.variant != LAYOUT, turn[draw.variant.method]))

    def _blocks(self, table: int) -> list[tuple[Sequence[Variant], Sequence[Case]]]:
        """Variants and the cases that each of them draws for a table."""
        layout, measured = (LAYOUT,), (LAYOUT, *self.measured)
        if table == 1:
            return [(measured, self.single_base), (measured, singles(self.single_base))]
        if table == 3:
            groups = [case for cases in self.crowds.values() for case in cases]
            compared = (LAYOUT, *self.crowd_methods)
            return [(compared, groups), (compared, singles(self.crowds[self.largest]))]
        if table == 4:
            variants = [variant for group in self.ablations.values() for variant in group]
            starts = [variant for variant in variants if variant in BY_START]
            return [(variants, self.ablation_cases), (layout, self.ablation_cases), (layout, self.close_cases),
                    (self.methods, self.close_cases), (starts, self.strip_cases)]  # fmt: skip
        return [(measured, self.people_cases if table == 6 else self.pair_cases)]


def singles(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Every concept of the cases alone, in the same place and light, from the same seed."""
    alone = (Case((name,), case.place, case.light, case.seed) for case in cases for name in case.names)
    return tuple(dict.fromkeys(alone))


def seconds(draw: Draw) -> float:
    """About how long a picture takes on one core."""
    base, each = SECONDS.get(draw.variant.method, _OTHER_SECONDS)
    return (base + each * len(draw.case.names)) * draw.case.width_px / _NARROWEST_PX


def full(methods: Sequence[Variant] = METHODS, count: int = 32) -> Plan:
    """The tables as the issue asks for them.

    Args:
        methods: to compare; ours is always among them.
        count: pictures in a cell of table 2; the rest follows it.
    """
    quarter, third, sixth = (max(count // share, 1) for share in (4, 3, 6))
    return _plan(with_ours(methods), count, single=quarter, group=third, ablation=sixth, sizes=(2, 3, 4, 5),
                 ablations=ABLATIONS)  # fmt: skip


def quick(methods: Sequence[Variant] = (MERGE, REGIONAL, OURS), count: int = 2) -> Plan:
    """The same tables with few pictures, methods and variants."""
    ablations = {"layout preservation": (OURS, NO_PRESERVATION), "start": (OURS, *BY_START[::3])}
    return _plan(with_ours(methods), count, single=1, group=1, ablation=1, sizes=(2, 3), ablations=ablations)


def with_ours(methods: Sequence[Variant]) -> tuple[Variant, ...]:
    """The methods and ours, which every table needs."""
    return tuple(methods) if OURS in methods else (*methods, OURS)


def _plan(
    methods: tuple[Variant, ...], count: int, *, single: int, group: int, ablation: int, sizes: Sequence[int],
    ablations: Mapping[str, tuple[Variant, ...]],
) -> Plan:  # fmt: skip
    cells = {kind: tuple(pairs(kind, count)) for kind in PairKind}
    return Plan(
        methods=methods,
        pairs=cells,
        single_base=tuple(case for cases in cells.values() for case in cases[:single]),
        crowds={size: tuple(crowd(size, group)) for size in sizes},
        crowd_methods=tuple(variant for variant in methods if variant in OF_CROWDS),
        ablation_cases=tuple(case for kind in (*PEOPLE_KINDS, PairKind.DOG_PERSON) for case in cells[kind][:ablation]),
        ablations=ablations,
        strip_cases=tuple(cells[kind][0] for kind in PEOPLE_KINDS),
        close_cases=tuple(close(2 * single)),
    )
