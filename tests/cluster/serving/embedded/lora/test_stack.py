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
    """The stack computes the same product as the adapter, layer by layer."""
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


def test_a_new_adapter_leaves_the_others_in_place() -> None:
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


def test_an_adapter_of_larger_rank_rebuilds_the_stack() -> None:
    stack = _stack()
    narrow, wide = _adapter("a"), _adapter("b", q=7)
    stack.hold([narrow])
    slots = stack.hold([narrow, wide])
    _check(stack, slots["a"], narrow)
    _check(stack, slots["b"], wide)


def test_the_slot_of_an_idle_adapter_is_reused_and_overwritten_completely() -> None:
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


def test_a_pass_without_an_adapter_does_not_drop_it() -> None:
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


def test_the_stack_shrinks_when_most_adapters_are_idle() -> None:
    stack = _stack()
    adapters = [_adapter(digest) for digest in "abcdefgh"]
    stack.hold(adapters)
    for _ in range(20):
        slots = stack.hold(adapters[5:7])
    assert len(stack) == 2
    for adapter in adapters[5:7]:
        _check(stack, slots[adapter.digest], adapter)


def test_the_stack_is_float32_while_another_thread_loads_a_half_precision_model() -> None:
    stack, adapters = _stack(), [_adapter("a"), _adapter("b")]
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        slots = stack.hold(adapters)
    finally:
        torch.set_default_dtype(usual)
    for adapter in adapters:
        _check(stack, slots[adapter.digest], adapter)


def test_a_slot_does_not_keep_a_dropped_adapter_in_memory() -> None:
    stack = _stack()
    dropped, stays = _adapter("dropped"), _adapter("stays")
    stack.hold([dropped, stays])
    leaves = weakref.ref(dropped)
    del dropped
    assert leaves() is None
    assert len(stack) == 2


def test_a_reloaded_adapter_survives_a_rebuild_of_the_stack() -> None:
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
