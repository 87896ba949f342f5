"""The store: what it keeps, what it drops when memory is short, and whether its counters tell the truth."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_omg.core.store import AttentionStore

C = 4
NO_LIMIT = 10**9


class FakeCuda(torch.Tensor):
    """A tensor in RAM that says it is on a GPU, until it is asked to go to the CPU."""

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    def to(self, *args, **kwargs):
        if args and str(args[0]) == "cpu":
            return self.as_subclass(torch.Tensor).clone()
        return super().to(*args, **kwargs)


def rows(cells: int, count: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, cells, C, generator=torch.Generator().manual_seed(seed))


def on_gpu(tensor: torch.Tensor) -> FakeCuda:
    return tensor.as_subclass(FakeCuda)


def kept_bytes(store: AttentionStore, cuda: bool) -> int:
    tensors = [*store._kept.values(), *(t for versions in store._contexts.values() for _, t in versions)]
    return sum(t.numel() * t.element_size() for t in tensors if t.is_cuda is cuda)


def counters_are_true(store: AttentionStore) -> bool:
    return store.ram_bytes == kept_bytes(store, False) and store.device_bytes == kept_bytes(store, True)


def test_split_rows_are_joined_and_calls_and_layers_kept_apart():
    store = AttentionStore(0, NO_LIMIT)
    whole = rows(6, 3)
    for part in whole.split([1, 2]):
        store.add(4, "a", part)
    store.add(2, "a", rows(6, 1, 1))
    assert torch.equal(store.get(4, "a"), whole)
    assert store.get(4, "b") is None
    assert store.calls() == [2, 4]
    assert counters_are_true(store)


def test_what_is_kept_is_a_copy():
    store = AttentionStore(0, NO_LIMIT)
    given_rows, context = rows(6), rows(2)
    kept = given_rows.clone()
    store.add(0, "a", given_rows)
    store.add_context(0, "k", 0, context, given_rows)
    given_rows.zero_()
    context.zero_()
    assert torch.equal(store.get(0, "a"), kept)
    assert torch.equal(store.context(0, "k"), kept)
    store.add_context(1, "k", 0, context, given_rows)
    assert torch.equal(store.context(1, "k"), given_rows), "a context changed in place is a change"


def test_a_short_memory_drops_the_largest_maps_and_says_so():
    sizes = {"a": 8, "b": 64, "c": 16, "d": 32}
    limit = (8 + 16 + 32) * C * 4
    store = AttentionStore(0, limit)
    for key, cells in sizes.items():
        store.add(0, key, rows(cells))
    assert store.dropped_cells == 64
    assert [key for key in sizes if store.get(0, key) is not None] == ["a", "c", "d"]
    store.add(1, "a", rows(8))
    assert store.dropped_cells == 32, "the next call's maps push out the next largest, of all calls"
    assert store.get(0, "d") is None
    assert store.get(1, "a") is not None
    assert counters_are_true(store)


def test_half_a_batch_is_never_left_behind():
    store = AttentionStore(0, 5 * 16 * C * 4)
    for _ in range(6):
        store.add(0, "a", rows(16))
    assert store.get(0, "a") is None
    assert store.dropped_cells == 16
    assert store.ram_bytes == 0


def test_a_map_too_large_for_an_empty_store_is_dropped_not_an_error():
    store = AttentionStore(0, 100)
    store.add(0, "a", rows(1000))
    store.add(0, "b", rows(4))
    assert store.dropped_cells == 1000
    assert store.get(0, "b") is not None


ADDS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([4, 8, 16, 32]), st.integers(1, 2), st.booleans()), max_size=14
)


@given(ADDS, st.integers(0, 3000), st.integers(0, 1500), st.none() | st.integers(0, 2000))
@settings(max_examples=60)
def test_limits_hold_and_counters_are_true_whatever_comes(adds, ram_limit, device_limit, free):
    store = AttentionStore(device_limit, ram_limit, None if free is None else lambda: free)
    given_rows: dict[tuple[int, str], list[torch.Tensor]] = {}
    dropped = []
    for number, (call, cells, count, gpu) in enumerate(adds):
        made = rows(cells, count, number)
        given_rows.setdefault((call, str(cells)), []).append(made)
        store.add(call, str(cells), on_gpu(made) if gpu else made)
        dropped.append(store.dropped_cells or 10**6)
        assert store.ram_bytes <= ram_limit
        assert store.device_bytes <= device_limit
        assert counters_are_true(store)
    assert dropped == sorted(dropped, reverse=True), "what is dropped once stays dropped"
    for (call, key), parts in given_rows.items():
        kept = store.get(call, key)
        if int(key) >= (store.dropped_cells or 10**6):
            assert kept is None
        else:
            assert torch.equal(torch.Tensor(kept.as_subclass(torch.Tensor)), torch.cat(parts))


def test_the_gpu_is_filled_first_then_ram():
    size = 8 * C * 4
    store = AttentionStore(2 * size, NO_LIMIT)
    for call in range(3):
        store.add(call, "a", on_gpu(rows(8, 1, call)))
    assert [store.get(call, "a").is_cuda for call in range(3)] == [True, True, False]
    assert (store.device_bytes, store.ram_bytes) == (2 * size, size)


@pytest.mark.parametrize(("free", "on_device"), [(2, False), (3, True)])
def test_at_most_half_of_the_free_gpu_memory_is_taken(free, on_device):
    size = 8 * C * 4
    store = AttentionStore(NO_LIMIT, NO_LIMIT, lambda: free * size)
    store.add(0, "a", on_gpu(rows(8)))
    assert store.get(0, "a").is_cuda is on_device


def test_rows_split_between_gpu_and_ram_are_counted_where_they_are():
    size = 8 * C * 4
    store = AttentionStore(size, NO_LIMIT)
    store.add(0, "a", on_gpu(rows(8, 1, 1)))
    store.add(0, "a", on_gpu(rows(8, 1, 2)))
    assert store.get(0, "a").is_cuda is False
    assert torch.equal(store.get(0, "a"), torch.cat([rows(8, 1, 1), rows(8, 1, 2)]))
    assert (store.device_bytes, store.ram_bytes) == (0, 2 * size)


def context_store(changes: list[int]) -> AttentionStore:
    """A store of calls with three layers; `changes` tells each call's prompt."""
    store = AttentionStore(0, NO_LIMIT)
    for call, prompt in enumerate(changes):
        for layer in ("k1", "k2", "k3"):
            store.add_context(call, layer, 0, rows(5, 2, prompt), rows(5, 2, 100 + prompt))
    return store


def test_keys_are_kept_once_until_the_prompt_changes():
    store = context_store([0, 0, 0, 1, 1, 0])
    for layer in ("k1", "k2", "k3"):
        assert [since for since, _ in store._contexts[layer, 0]] == [0, 3, 5]
        for call, prompt in enumerate([0, 0, 0, 1, 1, 0]):
            assert torch.equal(store.context(call, layer), rows(5, 2, 100 + prompt))
    assert store.ram_bytes == 3 * 3 * 2 * 5 * C * 4
    assert counters_are_true(store)


def test_keys_of_split_rows_are_joined_in_the_order_of_rows():
    store = AttentionStore(0, NO_LIMIT)
    keys = rows(5, 12)
    for first in range(12):
        store.add_context(0, "k", first, rows(3, 1, first), keys[first : first + 1])
    assert torch.equal(store.context(9, "k"), keys)
    assert store.context(9, "other") is None


def test_keys_before_anything_was_kept_are_none():
    store = AttentionStore(0, NO_LIMIT)
    store.add_context(4, "k", 0, rows(3), rows(5))
    assert store.context(3, "k") is None


def test_another_split_after_a_longer_prompt_joins_what_belongs_together():
    store = AttentionStore(0, NO_LIMIT)
    store.add_context(0, "k", 0, rows(5, 2, 1), rows(5, 2, 11))
    for first in (0, 1):  # a prompt of two chunks for a while: cond and uncond differ in length, so one by one
        store.add_context(1, "k", first, rows(10, 1, 2 + first), rows(10, 1, 12 + first))
    store.add_context(2, "k", 0, rows(5, 2, 1), rows(5, 2, 11))
    assert torch.equal(store.context(0, "k"), rows(5, 2, 11))
    assert torch.equal(store.context(1, "k"), torch.cat([rows(10, 1, 12), rows(10, 1, 13)]))
    assert torch.equal(store.context(2, "k"), rows(5, 2, 11))


def test_clear_lets_everything_go():
    store = context_store([0, 1])
    store.add(0, "a", rows(8))
    store.clear()
    assert (store.calls(), store.context(1, "k1"), store.get(0, "a")) == ([], None, None)
    assert store.ram_bytes == store.device_bytes == 0
    store.add_context(5, "k1", 0, rows(5, 2, 1), rows(5, 2, 7))
    assert torch.equal(store.context(5, "k1"), rows(5, 2, 7)), "a context seen before counts as new"


def test_a_store_of_some_rows_has_just_these_renumbered():
    store = AttentionStore(0, 10**6)
    for call in (0, 1):
        store.add(call, "a", torch.arange(5.0)[:, None, None].expand(5, 4, C))
    context = torch.rand(2, 3, 7), torch.rand(3, 3, 7)
    store.add_context(0, "k", 0, context[0], torch.tensor([0.0, 1.0])[:, None, None].expand(2, 3, C))
    store.add_context(0, "k", 2, context[1], torch.tensor([2.0, 3.0, 4.0])[:, None, None].expand(3, 3, C))
    part = store.of_rows(1, 4)
    assert part.get(1, "a")[:, 0, 0].tolist() == [1, 2, 3]
    assert part.context(1, "k")[:, 0, 0].tolist() == [1, 2, 3]
    assert counters_are_true(part)
    store.clear()
    assert part.get(0, "a") is not None, "its own copy"
