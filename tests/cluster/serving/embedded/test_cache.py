import torch
from transformers import DynamicCache

from cluster.serving.embedded.cache import SlotCache

HEADS, DIM, LAYERS = 2, 4, 3


def _prefilled(*lengths: int, seed: int = 0) -> DynamicCache:
    """Rows of the given lengths, padded to the longest with values that must not be cached."""
    generator = torch.Generator().manual_seed(seed)
    cache = DynamicCache()
    for layer in range(LAYERS):
        states = torch.randn(len(lengths), HEADS, max(lengths), DIM, generator=generator)
        for row, length in enumerate(lengths):
            states[row, :, length:] = float("nan")
        cache.update(states, states * 2, layer)
    return cache


def _cache(max_rows: int = 4, max_length: int = 1024) -> SlotCache:
    return SlotCache(LAYERS, max_rows=max_rows, max_length=max_length)


def _decode(cache: SlotCache, value: float) -> tuple[torch.Tensor, torch.Tensor]:
    """One step that stores `value` in every row; returns positions and the first layer's keys."""
    positions = cache.advance(len(cache.lengths))
    states = torch.full((len(cache.lengths), HEADS, 1, DIM), value)
    keys = [cache.update(states, states, layer)[0] for layer in range(LAYERS)]
    return positions, keys[0]


def test_rows_keep_their_own_tokens_and_padding_is_not_copied() -> None:
    source = _prefilled(3, 5)
    cache = _cache()
    cache.append(source, 1, 5)
    cache.append(source, 0, 3)
    positions, keys = _decode(cache, 7.0)
    assert positions.tolist() == [[5], [3]]
    assert cache.longest == keys.shape[2] == 6
    assert torch.equal(keys[0, :, :5], source.layers[0].keys[1])
    assert torch.equal(keys[1, :, :3], source.layers[0].keys[0, :, :3])
    assert (keys[0, :, 5] == 7).all()
    assert (keys[1, :, 3] == 7).all()
    assert (keys[1, :, 4:] == 0).all()


def test_rows_that_sit_a_step_out_are_left_as_they_are_and_rows_may_change_places() -> None:
    source = _prefilled(3, 5)
    cache = _cache()
    cache.append(source, 0, 3)
    cache.append(source, 1, 5)
    cache.swap(0, 1)
    positions = cache.advance(1)
    states = torch.full((1, HEADS, 1, DIM), 7.0)
    (keys, _), *_ = [cache.update(states, states, layer) for layer in range(LAYERS)]
    assert positions.tolist() == [[5]]
    assert cache.lengths == [6, 3]
    assert keys.shape[:3] == (1, HEADS, cache.longest)
    assert torch.equal(keys[0, :, :5], source.layers[0].keys[1])
    for layer, old in zip(cache.layers, source.layers, strict=True):
        assert torch.equal(layer.keys[1, :, :3], old.keys[0, :, :3])
        assert (layer.keys[1, :, 3:] == 0).all()


def test_a_released_row_is_filled_by_the_last_and_leaves_only_zeros() -> None:
    source = _prefilled(9, 2, 4)
    cache = _cache()
    for row, length in enumerate((9, 2, 4)):
        cache.append(source, row, length)
    _decode(cache, float("nan"))
    cache.release(0)
    assert cache.lengths == [5, 3]
    for layer, old in zip(cache.layers, source.layers, strict=True):
        assert torch.equal(layer.keys[0, :, :4], old.keys[2, :, :4])
        assert (layer.keys[0, :, 5:] == 0).all(), "the longer row's rest is gone"
        assert (layer.values[2:] == 0).all()
        assert torch.equal(layer.values[1, :, :2], old.values[1, :, :2])


def test_it_grows_by_doubling_up_to_its_limits_and_keeps_what_it_holds() -> None:
    source = _prefilled(120)
    cache = _cache(max_rows=3, max_length=200)
    for _ in range(3):
        cache.append(source, 0, 120)
    before = cache.layers[1].keys[:, :, :120].clone()
    for step in range(60):
        _decode(cache, float(step))
    assert cache.layers[1].keys.shape == (3, HEADS, 200, DIM)
    assert torch.equal(cache.layers[1].keys[:, :, :120], before)


def test_the_last_row_takes_the_memory_with_it() -> None:
    cache = _cache()
    cache.append(_prefilled(3), 0, 3)
    cache.release(0)
    assert all(layer.keys is None for layer in cache.layers)
    cache.append(_prefilled(2), 0, 2)
    assert cache.lengths == [2]
