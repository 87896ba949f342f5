"""The methods' own mathematics on tiny tensors; what needs a host is in tests/contract/test_bench_methods.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.cases import Case
from bench.host import Schedule
from bench.methods import METHODS
from bench.methods.attention import RegionalAttention
from bench.methods.base import Resources, segment_with
from bench.methods.fusion import Moments, flat_inputs, fuse, fused_layer, fusion_error
from bench.methods.omg import Omg, OmgOptions, PromptForm, as_png, edited, grown
from bench.methods.regions import WHOLE, assigned, box_of, columns_between, equal_columns, shares
from devhost.webui.modules import prompt_schedule
from lib_omg.core.rows import RowCursor, global_rows
from lib_omg.core.schedule import first_call, fraction_to_sigma, sigmas_from_alphas
from lib_omg.core.settings import DEFAULT_START, MaskSource, OmgSettings, View
from lib_omg.vision.painted import to_array

HEIGHT, WIDTH = 128, 128
PAIR = Case(("rex", "ida"), "park", "day", 1)


def block(left: int, right: int, top: int = 20, bottom: int = 100, width: int = WIDTH) -> np.ndarray:
    mask = np.zeros((HEIGHT, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- regions ----------------------------------------------------------------------------------------------------


def test_masks_go_to_the_concepts_of_their_class() -> None:
    man, woman = block(70, 110), block(10, 40)
    made = assigned(("man", "woman"), [("woman", woman), ("man", man)])
    assert made is not None
    assert np.array_equal(made[0], man)
    assert np.array_equal(made[1], woman)


def test_of_one_class_the_first_name_stands_left() -> None:
    left, middle, right = block(5, 20), block(50, 70), block(90, 120)
    made = assigned(("man", "dog", "man"), [("man", right), ("dog", middle), ("man", left)])
    assert made is not None
    for mask, expected in zip(made, (left, middle, right), strict=True):
        assert np.array_equal(mask, expected)


@pytest.mark.parametrize("words", [("man",), ("man", "man"), ("man", "woman", "woman"), ()])
def test_wrong_classes_are_nobodys(words: tuple[str, ...]) -> None:
    assert assigned(("man", "woman"), [(word, block(5, 20)) for word in words]) is None


def test_an_empty_mask_is_nobody() -> None:
    assert assigned(("man",), [("man", np.zeros((HEIGHT, WIDTH), bool))]) is None
    assert assigned(("man",), [("man", np.zeros((HEIGHT, WIDTH), bool)), ("man", block(5, 20))]) is not None


def test_boxes_are_in_fractions_of_width_and_height() -> None:
    assert box_of(block(64, 128, 32, 64, width=256)) == (0.25, 0.25, 0.5, 0.5)


def test_columns_fill_the_picture_and_split_midway() -> None:
    left, right = (0.1, 0.2, 0.3, 0.9), (0.5, 0.3, 0.9, 0.9)
    assert columns_between([left, right]) == [(0.0, 0.0, 0.4, 1.0), (0.4, 0.0, 1.0, 1.0)]
    assert columns_between([right, left]) == [(0.4, 0.0, 1.0, 1.0), (0.0, 0.0, 0.4, 1.0)]
    assert columns_between([left]) == [WHOLE]


def test_everybody_keeps_a_column_even_a_dog_before_a_man() -> None:
    man, dog = (0.2, 0.0, 0.8, 1.0), (0.5, 0.6, 0.56, 1.0)
    made = columns_between([man, dog])
    assert all(column[2] > column[0] for column in made)
    assert made[0][2] == made[1][0]
    assert 0.5 <= made[0][2] <= 0.53


@pytest.mark.parametrize("grid", [(16, 24), (4, 6), (2, 3), (1, 2)])
def test_shares_sum_to_one_at_every_size(grid: tuple[int, int]) -> None:
    made = shares([(0.1, 0.1, 0.45, 1.0), (0.4, 0.2, 0.9, 0.9)], *grid, base_share=0.2)
    assert made.shape == (3, *grid)
    assert torch.allclose(made.sum(0), torch.ones(grid))
    assert float(made.min()) >= 0
    assert float(made[0].min()) >= 0.2 - 1e-6
    assert float(made[1].sum()) > 0
    assert float(made[2].sum()) > 0


def test_shares_of_a_box_lie_where_it_is() -> None:
    made = shares([(0.5, 0.0, 1.0, 1.0)], 2, 4)
    assert made[1].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
    assert made[0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]


def test_overlapping_boxes_share_evenly() -> None:
    made = shares([WHOLE, (0.5, 0.0, 1.0, 1.0)], 1, 2)
    assert made[:, 0].tolist() == [[0, 0], [1, 0.5], [0, 0.5]]


# --- cross-attention by region ----------------------------------------------------------------------------------


class Attention(nn.Module):
    """Cross-attention with a bias at its end, as in the UNet."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(6, 6, bias=False) for _ in range(3))
        self.to_out = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        attention = (self.to_q(x) @ self.to_k(context).transpose(1, 2)).softmax(-1)
        return self.to_out(attention @ self.to_v(context))


def attend(boxes: list[Any], contexts: torch.Tensor, base_share: float = 0.0) -> tuple[torch.Tensor, ...]:
    """What a hooked layer gives for one cond and one uncond row on 4 x 6 cells of an 8 x 12 latent; x; the context."""
    torch.manual_seed(0)
    layer = Attention()
    cursor = RowCursor()
    hook = RegionalAttention(cursor, boxes, base_share, contexts, (8, 12))
    x, context = randn(2, 24, 6, seed=1), randn(2, 5, 6, seed=2)
    plain = layer(x, context=context)
    alone = torch.stack([layer(x[:1], context=own[None])[0] for own in contexts])
    handle = layer.register_forward_hook(hook, with_kwargs=True)
    with cursor.follow(global_rows([1])):
        cursor.advance(2)
        hooked = layer(x, context=context)
    assert torch.equal(layer(x, context=context), plain)  # nothing outside of a followed call
    handle.remove()
    return hooked, plain, alone


def test_a_region_that_is_the_whole_picture_is_its_prompts_picture() -> None:
    hooked, plain, alone = attend([WHOLE], randn(1, 7, 6, seed=3))
    assert torch.allclose(hooked[0], alone[0], atol=1e-6)
    assert not torch.allclose(hooked[0], plain[0], atol=1e-2)
    assert torch.equal(hooked[1], plain[1])


def test_every_cell_listens_to_its_own_region() -> None:
    hooked, plain, alone = attend([(0.0, 0.0, 0.5, 1.0), (2 / 3, 0.5, 1.0, 1.0)], randn(2, 7, 6, seed=3))
    for cell in range(24):
        row, column = divmod(cell, 6)
        if column < 3:
            expected = alone[0, cell]
        elif column >= 4 and row >= 2:
            expected = alone[1, cell]
        else:
            expected = plain[0, cell]
        assert torch.allclose(hooked[0, cell], expected, atol=1e-5), (row, column)
    assert torch.equal(hooked[1], plain[1])


def test_the_base_keeps_its_share() -> None:
    hooked, plain, alone = attend([WHOLE], randn(1, 7, 6, seed=3), base_share=0.2)
    assert torch.allclose(hooked[0], 0.2 * plain[0] + 0.8 * alone[0], atol=1e-5)


def test_a_map_of_another_picture_is_refused() -> None:
    cursor = RowCursor()
    hook = RegionalAttention(cursor, [WHOLE], 0.0, randn(1, 7, 6), (8, 12))
    with cursor.follow(global_rows([1])):
        cursor.advance(2)
        with pytest.raises(ValueError, match="found 23 cells"):
            hook(Attention(), (randn(2, 23, 6),), {}, randn(2, 23, 6))


# --- gradient fusion --------------------------------------------------------------------------------------------

OUT, IN = 5, 8
FINE = 1e-4
"""A ridge that leaves next to nothing of itself in the answer."""


def moment(x: torch.Tensor) -> torch.Tensor:
    return x.T @ x / len(x)


def test_fusion_of_one_concept_is_that_concept() -> None:
    change = randn(OUT, IN)
    assert torch.allclose(fuse([change], [moment(randn(400, IN, seed=1))], FINE), change, atol=2e-3)


def test_what_no_concept_shows_stays_as_it_was() -> None:
    x = randn(400, IN, seed=1)
    x[:, 3:] = 0
    made = fuse([randn(OUT, IN)], [moment(x)], FINE)
    assert torch.allclose(made[:, :3], randn(OUT, IN)[:, :3], atol=2e-3)
    assert float(made[:, 3:].abs().max()) < 1e-6


def test_concepts_that_live_in_different_directions_both_come_out_whole() -> None:
    one, other = randn(400, IN, seed=1), randn(400, IN, seed=2)
    one[:, 4:] = 0
    other[:, :4] = 0
    changes = [randn(OUT, IN, seed=3), randn(OUT, IN, seed=4)]
    made = fuse(changes, [moment(one), moment(other)], FINE)
    assert torch.allclose(made @ one.T, changes[0] @ one.T, atol=2e-2)
    assert torch.allclose(made @ other.T, changes[1] @ other.T, atol=2e-2)


def test_fusion_is_the_least_squares_answer() -> None:
    inputs = [randn(60, IN, seed=1), randn(60, IN, seed=2) + 0.5]
    changes = [randn(OUT, IN, seed=3), randn(OUT, IN, seed=4)]
    moments = [moment(x) for x in inputs]
    made = fuse(changes, moments, ridge=0.0)
    target = torch.cat([x @ change.T for x, change in zip(inputs, changes, strict=True)])
    oracle = torch.linalg.lstsq(torch.cat(inputs), target).solution.T
    assert torch.allclose(made, oracle, atol=1e-4)
    for other in (changes[0] + changes[1], (changes[0] + changes[1]) / 2, torch.zeros(OUT, IN)):
        assert sum(fusion_error(made, changes, moments)) < sum(fusion_error(other, changes, moments))


def test_the_error_is_that_of_the_outputs() -> None:
    x, made, own = randn(60, IN, seed=1), randn(OUT, IN, seed=2), randn(OUT, IN, seed=3)
    expected = ((x @ (made - own).T) ** 2).sum(1).mean()
    assert float(fusion_error(made, [own], [moment(x)])[0]) == pytest.approx(float(expected), rel=1e-4)


def test_fused_weights_serve_both_better_than_their_sum() -> None:
    inputs = [randn(200, IN, seed=1) + 2 * randn(1, IN, seed=5), randn(200, IN, seed=2) + 2 * randn(1, IN, seed=6)]
    changes = [randn(OUT, IN, seed=3), randn(OUT, IN, seed=4)]
    moments = [moment(x) for x in inputs]
    fused = fusion_error(fuse(changes, moments), changes, moments)
    summed = fusion_error(changes[0] + changes[1], changes, moments)
    assert all(a < b for a, b in zip(fused, summed, strict=True))


def test_a_layer_that_saw_nothing_but_zeros_stays_as_it_is() -> None:
    assert torch.equal(fuse([randn(OUT, IN)], [torch.zeros(IN, IN)]), torch.zeros(OUT, IN))


@pytest.mark.parametrize(("layer", "shape"), [(nn.Linear(IN, OUT), (2, 7, IN)), (nn.Conv2d(IN, OUT, 1), (2, IN, 3, 4))])
def test_what_a_layer_sees_is_gathered_over_calls(layer: nn.Module, shape: tuple[int, ...]) -> None:
    moments = Moments()
    first, second = randn(*shape, seed=1), randn(*shape, seed=2)
    with moments.watching([layer]):
        layer(first)
        layer(second)
    layer(randn(*shape, seed=3))
    seen = torch.cat([flat_inputs(layer, first), flat_inputs(layer, second)])
    found = moments.mean(layer)
    assert found is not None
    assert torch.allclose(found, moment(seen), atol=1e-5)
    weight = layer.weight.flatten(1)
    outputs = layer(first).movedim(1, -1) if isinstance(layer, nn.Conv2d) else layer(first)
    assert torch.allclose((flat_inputs(layer, first) @ weight.T + layer.bias).flatten(), outputs.flatten(), atol=1e-5)


def test_a_layer_is_fused_in_its_own_shape_and_bias() -> None:
    layer = nn.Conv2d(IN, OUT, 1)
    moments = [Moments(), Moments()]
    for index, own in enumerate(moments):
        own.add(layer, randn(9, IN, 5, 5, seed=index))
    change = randn(OUT, IN, 1, 1, seed=3)
    with_it, without_it = {layer: (change, torch.ones(OUT))}, {}
    weight, bias = fused_layer(layer, [with_it, without_it], moments, FINE)
    expected = fuse([change.flatten(1), torch.zeros(OUT, IN)], [m.mean(layer) for m in moments], FINE)
    assert weight.shape == layer.weight.shape
    assert torch.allclose(weight.flatten(1), expected)
    assert float((expected - change.flatten(1)).norm()) > 0.3  # the other concept does pull
    assert bias is not None
    assert torch.equal(bias, torch.ones(OUT))


def test_layers_without_a_closed_form_are_summed() -> None:
    layer = nn.Conv2d(IN, OUT, 3)
    changes = [{layer: (randn(OUT, IN, 3, 3, seed=index), None)} for index in (1, 2)]
    weight, bias = fused_layer(layer, changes, [Moments(), Moments()], FINE)
    assert torch.equal(weight, randn(OUT, IN, 3, 3, seed=1) + randn(OUT, IN, 3, 3, seed=2))
    assert bias is None


# --- OMG's settings ---------------------------------------------------------------------------------------------


def test_omg_with_nothing_said_is_the_extension_as_it_comes() -> None:
    settings = OmgSettings.from_dict(OmgOptions().settings(PAIR))
    told = settings.to_dict()
    assert set(told) == {"concepts", "on_missing"}
    assert [set(concept) for concept in told["concepts"]] == [{"class_word", "loras", "prompt", "prompt_mode"}] * 2
    assert [c.prompt for c in settings.concepts] == [PAIR.own_prompt(0), PAIR.own_prompt(1)]
    assert [c.loras[0].name for c in settings.concepts] == ["rex", "ida"]


def test_what_a_table_varies_arrives() -> None:
    options = OmgOptions(start=0.5, cfg_scale=3.0, view=View.CROP, feather_px=0.0, attention_strength=0.0,
                         self_attention_end=0.1, crop_margin=0.3, dilation_px=4.0, hide_others=False,
                         lora_weight=0.8, te_weight=0.0)  # fmt: skip
    settings = OmgSettings.from_dict(options.settings(PAIR))
    assert {(c.start, c.cfg_scale, c.loras[0].weight, c.loras[0].te_weight) for c in settings.concepts} == {
        (0.5, 3.0, 0.8, 0.0)
    }
    found = (settings.view, settings.feather_px, settings.attention_strength, settings.self_attention_end,
             settings.crop_margin, settings.dilation_px, settings.hide_others)  # fmt: skip
    assert found == (View.CROP, 0.0, 0.0, 0.1, 0.3, 4.0, False)


@pytest.mark.parametrize(
    ("form", "prompt"),
    [
        (PromptForm.SCENE, "a rex man and a woman in the park"),
        (PromptForm.ALONE, "a rex man in the park"),
        (PromptForm.SCENE_THEN_ALONE, "[a rex man and a woman in the park:a rex man in the park:11]"),
        (PromptForm.ALONE_THEN_SCENE, "[a rex man in the park:a rex man and a woman in the park:11]"),
    ],
)
def test_prompt_forms(form: PromptForm, prompt: str) -> None:
    settings = OmgOptions(prompt_form=form).settings(PAIR, switch_call=12)
    assert settings["concepts"][0]["prompt"] == prompt


def karras(steps: int) -> list[float]:
    """Noise levels of a run's denoiser calls (Karras et al. 2022, eq. 5), for Stable Diffusion's highest and lowest."""
    return (np.linspace(14.615 ** (1 / 7), 0.0292 ** (1 / 7), steps) ** 7).tolist()


def noise_table() -> torch.Tensor:
    """Noise levels of Stable Diffusion's timesteps (1000,)."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return sigmas_from_alphas(torch.cumprod(1 - betas, 0))


def heard(prompt: str, steps: int) -> list[str]:
    """What the host hears of a prompt at every denoiser call."""
    entries = prompt_schedule.schedule(prompt, steps, None, old=False)
    return [next(str(text) for last, text in entries if call <= int(last)) for call in range(steps)]


@pytest.mark.parametrize("steps", [2, 7, 20, 50])
def test_the_host_hears_the_first_prompt_just_while_there_is_more_noise(steps: int) -> None:
    calls = karras(steps)
    for sigma in (20.0, 0.001, *calls, *(1.01 * level for level in calls), *(0.99 * level for level in calls)):
        expected = ["a" if level > 1.0001 * sigma else "b" for level in calls]
        found = heard(edited("a", "b", first_call(calls, sigma)), steps)
        if expected.count("a") == 1:  # which the host can't say
            expected[0] = "b"
        assert found == expected, sigma


def test_concepts_hear_both_prompts_and_change_at_one_noise_level() -> None:
    """Many steps are gone before concepts begin: counted in steps, they might hear the second prompt alone."""
    options, later, as_start = OmgOptions(), OmgOptions(switch=0.6), OmgOptions(switch=DEFAULT_START)
    levels = []
    for steps in (20, 40, 80):
        schedule = Schedule(tuple(karras(steps)), noise_table())
        start, switch, end = (o.switch_call(schedule) for o in (as_start, options, later))
        assert start + 1 < switch < end < steps - 4
        levels.append(schedule.calls[switch])
    expected = fraction_to_sigma(0.5, noise_table())
    assert all(0.7 * expected < level <= expected for level in levels)
    assert levels[-1] == pytest.approx(expected, rel=0.12)


def test_only_forms_of_two_prompts_ask_for_the_schedule() -> None:
    made = resources()
    host: Any = made.host
    host.schedule = lambda: Schedule(tuple(karras(20)), noise_table())
    Omg(made, OmgOptions(prompt_form=PromptForm.ALONE_THEN_SCENE)).draw(PAIR)
    prompts = [concept["prompt"] for concept in host.asked[-1][-1]["omg"]["concepts"]]
    # 1.56 of noise at half of the reference schedule; calls 8 and 9 have 1.99 and 1.48
    assert [heard(prompt, 20) for prompt in prompts] == [
        [PAIR.own_prompt(index)] * 9 + [PAIR.scene_prompt(index)] * 11 for index in range(2)
    ]
    del host.schedule
    Omg(made, OmgOptions(prompt_form=PromptForm.ALONE)).draw(PAIR)


def test_two_of_one_class_share_the_word_of_the_prompt() -> None:
    case = Case(("rex", "bob"), "park", "day", 1)
    concepts = OmgOptions().settings(case)["concepts"]
    assert [concept["class_word"] for concept in concepts] == ["men", "men"]
    assert concepts[1]["prompt"] == "a bob man in the park"


def test_true_masks_arrive_as_painted_ones() -> None:
    masks = [block(10, 40), block(70, 120)]
    settings = OmgSettings.from_dict(OmgOptions(true_masks=True, dilation_px=0).settings(PAIR, masks))
    for concept, mask in zip(settings.concepts, masks, strict=True):
        assert concept.mask_source is MaskSource.PAINTED
        assert np.array_equal(to_array(concept.mask) > 0.5, mask)
    assert to_array(as_png(masks[0])).max() == 1


def test_masks_grow_but_not_into_each_other() -> None:
    left, right = block(10, 40), block(44, 80)
    made = grown([left, right], 8)
    assert not (made[0] & made[1]).any()
    assert (made[0] & left).sum() == left.sum()
    assert (made[1] & right).sum() == right.sum()
    assert made[0][50, 3]
    assert made[1][50, 87]
    assert not made[0][50, 1]
    assert grown([left], 0)[0] is left


# --- what methods draw with -------------------------------------------------------------------------------------


@dataclass
class FakeHost:
    """Draws nothing and remembers what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def draw(self, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        self.asked.append((*args, kwargs))
        return [np.full((HEIGHT, 128, 3), len(self.asked), np.uint8)]


@dataclass(frozen=True)
class Detection:
    class_word: str
    mask: np.ndarray


class FakeDetector:
    """Finds a woman on the left and a man on the right of everything."""

    def detect(self, images: Any) -> list[list[Detection]]:
        return [[Detection("woman", block(0, 32)), Detection("man", block(96, 128))] for _ in images]


def resources() -> Resources:
    return Resources(FakeHost(), segment_with(FakeDetector()))  # type: ignore[arg-type]


def test_a_layout_is_drawn_once_and_read_for_boxes() -> None:
    made = resources()
    assert made.boxes(PAIR) == [(0.75, 20 / 128, 1.0, 100 / 128), (0.0, 20 / 128, 0.25, 100 / 128)]
    assert made.masks(PAIR) is not None
    assert made.host.asked == [("a man and a woman in the park", 1, 128, {})]  # type: ignore[attr-defined]


def test_where_the_wrong_people_stand_columns_are_equal() -> None:
    case = Case(("rex", "bob", "ida"), "park", "day", 1)
    assert resources().boxes(case) == equal_columns(3)
    assert resources().masks(case) is None


def test_every_method_answers_to_its_name() -> None:
    made = {name: make(resources()) for name, make in METHODS.items()}
    assert {name: method.name for name, method in made.items()} == {name: name for name in METHODS}
    assert len({method.title for method in made.values()}) == len(METHODS)


def test_merge_puts_everything_into_one_prompt() -> None:
    made = resources()
    METHODS["merge"](made).draw(PAIR)
    expected = ("a rex man and an ida woman in the park", 1, 128, {"loras": ("rex", "ida")})
    assert made.host.asked == [expected]  # type: ignore[attr-defined]


def test_true_masks_are_those_of_the_layout_else_attentions() -> None:
    made = resources()
    METHODS["omg_true_masks"](made).draw(PAIR)
    METHODS["omg_true_masks"](made).draw(Case(("rex", "bob"), "park", "day", 1))
    _, painted, _, by_attention = (asked[-1].get("omg") for asked in made.host.asked)  # type: ignore[attr-defined]
    mask, reach = to_array(painted["concepts"][0]["mask"]) > 0.5, int(OmgSettings.dilation_px)
    assert mask[block(96, 128)].all()  # grown as found ones are
    assert mask[60, 96 - reach :].all()
    assert not mask[60, : 96 - reach].any()
    assert all("mask" not in concept for concept in by_attention["concepts"])
