import weakref

import torch

from cluster.serving.embedded.lora.stack import LoraStack
from cluster.serving.weights.adapter import Adapter, LoraPair

SHAPES = {"q": (6, 8), "k": (6, 4), "o": (8, 6)}
SHARED = [["q", "k"], ["o"]]


def _adapter(digest: str, **ranks: int) -> Adapter:
    return Adapter(
        digest,
        {
            name: LoraPair(torch.randn(rank, SHAPES[name][0]), torch.randn(rank, SHAPES[name][1]))
            for name, rank in (ranks or {"q": 2, "k": 2, "o": 2}).items()
        },
    )


def _stack() -> LoraStack:
    return LoraStack(SHAPES, SHARED, torch.device("cpu"))


def _check(stack: LoraStack, slot: int, adapter: Adapter) -> None:
    """The stack multiplies as the adapter does, layer by layer."""
    for name, site in stack.sites.items():
        product = site.down_SIR[slot, :, site.ranks] @ site.up_SRO[slot]
        pair = adapter.pairs.get(name)
        expected = torch.zeros(SHAPES[name]) if pair is None else pair.down.T @ pair.up
        torch.testing.assert_close(product, expected)


def test_adapters_of_different_ranks_and_layers_lie_side_by_side() -> None:
    stack = _stack()
    adapters = [_adapter("a"), _adapter("b", q=5, o=1), _adapter("c", k=3)]
    slots = stack.hold(adapters)
    assert len(set(slots.values())) == len(stack) == 3
    for adapter in adapters:
        _check(stack, slots[adapter.digest], adapter)
    assert stack.sites["q"].down_SIR is stack.sites["k"].down_SIR


def test_one_that_comes_leaves_the_others_where_they_are() -> None:
    stack = _stack()
    adapters = [_adapter(digest) for digest in "abc"]
    before = dict(stack.hold(adapters))
    down = stack.sites["q"].down_SIR
    adapters.append(_adapter("d", q=1))
    slots = stack.hold(adapters)
    assert slots == before | {"d": 3}
    assert stack.sites["q"].down_SIR.data_ptr() == down.data_ptr(), "there was room"
    for adapter in adapters:
        _check(stack, slots[adapter.digest], adapter)


def test_one_that_is_wider_makes_room_for_itself() -> None:
    stack = _stack()
    narrow, wide = _adapter("a"), _adapter("b", q=7)
    stack.hold([narrow])
    slots = stack.hold([narrow, wide])
    _check(stack, slots["a"], narrow)
    _check(stack, slots["b"], wide)


def test_the_slot_of_one_long_gone_is_taken_and_wholly_overwritten() -> None:
    stack = _stack()
    gone, stays, comes = _adapter("gone", q=4, k=4), _adapter("stays"), _adapter("comes", q=1)
    slots = stack.hold([gone, stays])
    place = slots["gone"]
    for _ in range(20):
        stack.hold([stays])
    slots = stack.hold([stays, comes])
    assert slots["comes"] == place
    assert "gone" not in slots
    _check(stack, place, comes)


def test_a_turn_without_an_adapter_does_not_drop_it() -> None:
    stack = _stack()
    a, b = _adapter("a"), _adapter("b")
    stack.hold([a])
    sites = stack.sites
    for _ in range(40):
        stack.hold([b])
        stack.hold([a])
    assert len(stack) == 2
    assert stack.sites is not sites
    sites = stack.sites
    stack.hold([b])
    assert stack.sites is sites


def test_few_that_are_left_do_not_carry_many_that_have_gone() -> None:
    stack = _stack()
    adapters = [_adapter(digest) for digest in "abcdefgh"]
    stack.hold(adapters)
    for _ in range(20):
        slots = stack.hold(adapters[5:7])
    assert len(stack) == 2
    for adapter in adapters[5:7]:
        _check(stack, slots[adapter.digest], adapter)


def test_it_is_in_float32_while_another_thread_loads_a_model_in_half_precision() -> None:
    stack, adapters = _stack(), [_adapter("a"), _adapter("b")]
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        slots = stack.hold(adapters)
    finally:
        torch.set_default_dtype(usual)
    for adapter in adapters:
        _check(stack, slots[adapter.digest], adapter)


def test_one_that_was_dropped_is_not_kept_in_memory_for_its_slot() -> None:
    stack = _stack()
    dropped, stays = _adapter("dropped"), _adapter("stays")
    stack.hold([dropped, stays])
    leaves = weakref.ref(dropped)
    del dropped
    assert leaves() is None
    assert len(stack) == 2


def test_one_that_was_dropped_and_loaded_again_is_held_when_others_make_room() -> None:
    stack = _stack()
    dropped, stays = _adapter("a"), _adapter("b")
    loaded_again = Adapter("a", dropped.pairs)
    stack.hold([dropped, stays])
    del dropped
    stack.hold([loaded_again, stays])
    adapters = [loaded_again, stays, _adapter("c", q=7)]
    slots = stack.hold(adapters)
    for adapter in adapters:
        _check(stack, slots[adapter.digest], adapter)
