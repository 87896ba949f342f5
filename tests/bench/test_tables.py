"""Plans and tables on made-up scores: every figure can be said beforehand."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from bench import plans, report, tables
from bench.bars import bars
from bench.cases import Case, PairKind
from bench.plans import BY_START, LAYOUT, MERGE, MIX_OF_SHOW, NO_PRESERVATION, OURS, OURS_TRUE_MASKS, Draw, Plan
from bench.report import Report
from bench.scores import Metric, Score
from bench.tables import Figures
from toyworld.identity import CAST

NAN = float("nan")
PLAN = plans.full((MERGE, MIX_OF_SHOW, OURS, OURS_TRUE_MASKS), count=4)


def made_score(case: Case, cosine: float, **changes: object) -> Score:
    count = len(case.names)
    fields = {
        "cosines": (cosine,) * count,
        "verified": (cosine >= 0.5,) * count,
        "likeness": np.full((count, len(CAST)), 0.1),
        "tint_errors": (0.05,) * count,
        "present": 1.0,
        "exact": True,
        "agreement": 0.9,
        "occlusion": 0.0,
    }
    return Score(**{**fields, **changes})


def figures(cosine: Callable[[Draw], float]) -> Figures:
    return Figures({draw: made_score(draw.case, cosine(draw)) for draw in PLAN.draws(plans.TABLES)})


def by_method(draw: Draw) -> float:
    """Ours 0.8 alone and 0.79 with others, mix of show 0.6 and 0.4, all else 0.3 (man+woman by merge 0.9).

    With true masks 0.95: that is no other method.
    """
    alone = len(draw.case.names) == 1
    if draw.variant.method == OURS.method:
        return 0.8 if alone else 0.79
    if draw.variant == OURS_TRUE_MASKS:
        return 0.95
    if draw.variant == MIX_OF_SHOW:
        return 0.6 if alone else 0.4
    mixed = sorted(draw.case.class_words) == ["man", "woman"]
    return 0.9 if mixed and draw.variant == MERGE else 0.3


def cells(table: tables.Table, label: str) -> dict[str, float]:
    row = next(row for row in table.rows if row.label == label)
    return {column: cell.value for column, cell in zip(table.columns, row.cells, strict=True)}


def test_tables_share_pictures_and_draw_none_twice() -> None:
    every = PLAN.draws(plans.TABLES)
    assert len(every) == len(set(every))
    assert len(every) < sum(len(PLAN.draws([table])) for table in plans.TABLES)
    for table in plans.TABLES:
        assert set(PLAN.draws([table])) <= set(every)
        assert PLAN.draws([table])[0].variant == LAYOUT  # other methods look at it
    two = set(PLAN.draws([2]))
    assert set(PLAN.draws([5])) == two
    assert set(PLAN.draws([6])) < two
    blocks = [method for method, _ in itertools.groupby(draw.variant.method for draw in every)]
    assert len(blocks) == len(set(blocks))


def test_the_full_plan_is_what_the_issue_asks_for() -> None:
    plan = plans.full()
    assert {kind: len(cases) for kind, cases in plan.pairs.items()} == dict.fromkeys(PairKind, 32)
    assert sorted(plan.crowds) == [2, 3, 4, 5]
    assert {variant.method for variant in plan.methods} >= {"merge", "mix_of_show", "regional_attention",
        "latent_couple", "dreambooth", "textual_inversion", "custom_diffusion", "omg", "omg_true_masks"}  # fmt: skip
    assert {variant.method for variant in plan.crowd_methods} >= {"merge", "latent_couple", "omg", "omg_true_masks"}


@pytest.mark.parametrize(("plan", "most_s"), [(plans.full(), 2 * 3600), (plans.quick(), 4.5 * 60)])
def test_two_cores_draw_it_in_time(plan: Plan, most_s: float) -> None:
    assert sum(map(plans.seconds, plan.draws(plans.TABLES))) / 2 < most_s


def test_ours_is_always_there() -> None:
    for plan in (plans.full((MERGE,), 1), plans.quick((MERGE,), 1)):
        assert OURS in plan.methods
        assert OURS in plan.crowd_methods


def test_singles_keep_place_light_and_seed() -> None:
    case = Case(("rex", "ida"), "park", "night", 7)
    assert plans.singles([case, case]) == (Case(("rex",), "park", "night", 7), Case(("ida",), "park", "night", 7))


def test_drop_pairs_every_picture_with_its_concepts_alone() -> None:
    rng = np.random.default_rng(0)
    base = {case: float(rng.uniform(0.2, 0.9)) for case in PLAN.single_base}
    of_seed = {(case.seed, case.place): value for case, value in base.items()}

    def cosine(draw: Draw) -> float:
        value = of_seed.get((draw.case.seed, draw.case.place), 0.5)
        return value if len(draw.case.names) == 1 else value - 0.03

    (table,) = tables.identity_table(PLAN, figures(cosine))
    row = next(row for row in table.rows if row.label == OURS.label)
    drop = row.cells[table.columns.index("drop")]
    assert (drop.value, drop.low, drop.high) == (pytest.approx(0.03), pytest.approx(0.03), pytest.approx(0.03))
    assert drop.count == len(PLAN.single_base)
    assert cells(table, OURS.label)["single"] == pytest.approx(np.mean(list(base.values())))


def test_a_missing_single_is_not_taken_for_a_whole_one() -> None:
    known = figures(by_method)
    lost = Draw(OURS, plans.singles(PLAN.single_base[:1])[0])
    fewer = Figures({draw: score for draw, score in known.scores.items() if draw != lost})
    assert fewer.drop(OURS, PLAN.single_base, Metric.IDENTITY).count == len(PLAN.single_base) - 1


def test_pairs_and_bars() -> None:
    known = figures(by_method)
    identity, detection = tables.pairs_table(PLAN, known)
    merge = cells(identity, MERGE.label)
    assert [merge[kind.value] for kind in PairKind][:3] == [pytest.approx(0.9), pytest.approx(0.3), pytest.approx(0.3)]
    assert merge["same / mixed"] == pytest.approx(0.3 / 0.9)
    ours = cells(identity, OURS.label)
    assert (ours["average"], ours["same / mixed"]) == (pytest.approx(0.79), pytest.approx(1))
    assert cells(detection, OURS.label)["average"] == 1.0
    assert cells(detection, MIX_OF_SHOW.label)["average"] == 0.0
    found = {bar.name: bar for bar in bars(PLAN, known)}
    verdicts = {name: (bar.found.value, bar.holds) for name, bar in found.items()}
    assert verdicts["identity drop, one to two concepts"] == (pytest.approx(0.01), False)
    assert verdicts["identity drop, one to 5 concepts"] == (pytest.approx(0.01), True)
    assert verdicts["same-class pairs / man+woman"] == (pytest.approx(1), True)
    assert verdicts["man+woman: ours - best other (merge)"] == (pytest.approx(-0.11), False)
    assert verdicts["man+man: ours - best other (mix of show)"] == (pytest.approx(0.39), True)
    assert verdicts["average of pairs: ours / best other (merge)"] == (pytest.approx(0.79 / 0.42), True)


def test_a_tie_is_no_win() -> None:
    found = {bar.name: bar.holds for bar in bars(PLAN, figures(lambda _draw: 0.5))}
    assert not any(holds for name, holds in found.items() if "best other" in name)
    assert found["identity drop, one to two concepts"]


def test_number_of_concepts() -> None:
    identity, *_ = tables.crowds_table(PLAN, figures(by_method))
    found = cells(identity, MIX_OF_SHOW.label)
    assert list(found) == ["1", "2", "3", "4", "5", "drop, 1 to 5"]
    assert found["1"] == pytest.approx(0.6)
    assert found["5"] == pytest.approx(0.4)
    assert found["drop, 1 to 5"] == pytest.approx(0.2)


def test_ablations_are_paired_with_the_default() -> None:
    def cosine(draw: Draw) -> float:
        return 0.5 - (0.2 if draw.variant == NO_PRESERVATION else 0.0) + draw.case.seed % 7 / 100

    found = {table.title: table for table in tables.ablations_table(PLAN, figures(cosine))}
    row = next(r for r in found["Ablation: layout preservation"].rows if r.label == NO_PRESERVATION.label)
    assert (row.cells[-1].low, row.cells[-1].high) == (pytest.approx(-0.2), pytest.approx(-0.2))
    assert [r.label for r in found["Ablation: start"].rows] == [OURS.label, *(v.label for v in BY_START)]


def test_overlapping_people_are_chosen_by_the_layout() -> None:
    chosen = PLAN.close_cases[1]
    scores = {}
    for draw in PLAN.draws([4]):
        hidden = 0.1 if draw.variant == LAYOUT and draw.case != chosen else 0.3
        scores[draw] = made_score(draw.case, 0.9 if draw.case == chosen else 0.1, occlusion=hidden)
    table = tables.ablations_table(PLAN, Figures(scores))[-1]
    assert cells(table, OURS.label)["identity"] == pytest.approx(0.9)
    assert {cell.count for row in table.rows for cell in row.cells} == {1}
    assert f"1 of {len(PLAN.close_cases)}" in table.note


def test_mixing_tells_own_companion_and_strangers_apart() -> None:
    case = PLAN.pair_cases[0]
    cast = list(CAST)
    likeness = np.full((2, len(cast)), 0.1)
    for row, name in enumerate(case.names):
        likeness[row, cast.index(name)] = 0.9
        likeness[row, cast.index(case.names[1 - row])] = 0.4
    other = next(c for c in PLAN.pair_cases if c != case and case.names[0] in c.names)
    lost = np.full((2, len(cast)), NAN)  # nobody was found in it
    known = Figures(
        {
            Draw(OURS, case): made_score(case, 0.9, likeness=likeness),
            Draw(OURS, other): made_score(other, 0, likeness=lost),
        }
    )
    (table,) = tables.mixing_table(PLAN, known)
    assert cells(table, OURS.label) == pytest.approx({"own": 0.9, "companion": 0.4, "strangers": 0.1})
    matrix = tables.mixing_matrix(known, OURS, PLAN.pair_cases)
    first, second = (cast.index(name) for name in case.names)
    assert matrix[first, second] == 0.4
    assert matrix[first, first] == 0.9
    assert np.isnan(np.delete(matrix, [first, second], 0)).all()


def test_tint_error_leaves_out_the_unrecognised() -> None:
    score = made_score(Case(("rex", "ida"), "park", "night", 1), 0.9, verified=(True, False), tint_errors=(0.1, 0.5))
    assert Metric.TINT.of(score) == pytest.approx(0.1)
    assert Metric.TINT_OF_ALL.of(score) == pytest.approx(0.3)
    nobody = made_score(Case(("rex",), "park", "night", 1), 0.1, tint_errors=(0.2,))
    assert math.isnan(Metric.TINT.of(nobody))


def test_report_says_the_same_twice() -> None:
    known = figures(by_method)
    made = [table for number in plans.TABLES for table in tables.TABLES[number](PLAN, known)]
    matrices = {"omg": np.array([[1.0, NAN]])}
    said = Report("python -m bench", 61.0, made, bars(PLAN, known), matrices, known.scores, ["A note."])
    data = json.loads(report.as_json(said))
    text = report.as_text(said)
    assert "A note." in text
    assert text.count("### Table") == len(made) == len(data["tables"])
    cell = next(row for row in data["tables"][0]["rows"] if row["label"] == OURS.label)["cells"]["drop"]
    assert cell == {"value": 0.01, "low": 0.01, "high": 0.01, "count": len(PLAN.single_base)}
    assert "| 0.010 ±0.000 |" in text
    assert data["mixing"]["matrices"]["omg"] == [[1.0, None]]
    assert len(data["pictures"]) == len(known.scores)
    lines = text.splitlines()
    begin = lines.index(f"### Table 1. {made[0].title}") + 2
    assert len({len(line) for line in lines[begin : begin + 2 + len(PLAN.measured)]}) == 1


def test_an_empty_run_says_not_measured() -> None:
    nothing = Figures({})
    made = [table for number in plans.TABLES for table in tables.TABLES[number](PLAN, nothing)]
    said = Report("", 0.0, made, bars(PLAN, nothing))
    assert all(bar.holds is None for bar in said.bars)
    assert json.loads(report.as_json(said))["bars"][0]["value"] is None
    assert "not measured" in report.as_text(said)
