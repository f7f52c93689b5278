"""Row LoRA on a CPU: rows are sorted by adapter, and compiled code adds a layer's updates in one call."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from weakref import WeakKeyDictionary, ref

import numpy as np
import torch
from torch import Tensor

from cluster.serving.embedded.lora.call import LoraCall
from cluster.serving.weights.adapter import Adapter

_LONGEST_PIECE = 64
"""Number of rows whose reduced form, with a few columns of their updates, fits into a core's cache."""
_SHORTEST_PIECE = 4
"""Minimum number of rows by which each weight that is read is multiplied."""
_ROWS_A_READING = 20
"""Number of rows that can be multiplied by an adapter's weights in the time that reading them from memory
takes."""
_WORTH_THREADS = 10_000_000
"""Number of multiplications that take as long as starting threads, about 0.1 ms."""


class CompiledLora:
    """A Planner that keeps no adapter in memory."""

    def __init__(self, layers: Iterable[str]) -> None:
        self._place_of = {name: place for place, name in enumerate(layers)}
        self._pairs: WeakKeyDictionary[Adapter, np.ndarray] = WeakKeyDictionary()
        """[L, 3] per adapter: the addresses of each layer's weights and their rank, in the form of
        LoraCall."""
        self._last: tuple[list[ref[Adapter] | None], CompiledPlan] | None = None
        """The adapters of the last pass, as weak references, and its plan."""
        # Imported here because vLLM does not start in a process that has imported numba.
        from cluster.serving.embedded.lora.kernel import compiled

        self._run = compiled()

    def share(self, names: Sequence[Sequence[str]]) -> None:
        """Does nothing: the next layer finds in the core's cache what the previous one has just read."""

    def plan(self, adapters: Sequence[Adapter | None]) -> "CompiledPlan":
        """Returns the previous plan if nothing has changed, because most decode steps have the same rows as
        the previous one."""
        if self._last is not None and _are_same(self._last[0], adapters):
            return self._last[1]
        rows_of: dict[Adapter, list[int]] = {}
        for row, adapter in enumerate(adapters):
            if adapter is not None and adapter.pairs:
                rows_of.setdefault(adapter, []).append(row)
        pairs_LA3 = np.stack([self._pairs_of(adapter) for adapter in rows_of], axis=1)
        plan = CompiledPlan(list(rows_of.values()), len(adapters), pairs_LA3, self._place_of, self._run)
        self._last = ([None if adapter is None else ref(adapter) for adapter in adapters], plan)
        return plan

    def forget(self) -> None:
        """Does nothing: there are no copies, and addresses are dropped with their adapters."""

    def _pairs_of(self, adapter: Adapter) -> np.ndarray:
        if (found := self._pairs.get(adapter)) is None:
            found = self._pairs[adapter] = np.zeros((len(self._place_of), 3), np.int64)
            for name, pair in adapter.pairs.items():
                assert all(half.is_contiguous() for half in (pair.down, pair.up))
                assert all(half.dtype == torch.float32 for half in (pair.down, pair.up))
                found[self._place_of[name]] = (pair.down.data_ptr(), pair.up.data_ptr(), pair.rank)
        return found


class CompiledPlan:
    """A Plan."""

    def __init__(
        self,
        rows_of: Sequence[Sequence[int]],
        batch: int,
        pairs_LA3: np.ndarray,
        place_of: Mapping[str, int],
        run: Callable[[LoraCall, int], None],
    ) -> None:
        """`rows_of` are each adapter's rows, out of `batch`. `pairs_LA3` is indexed by layer as in
        `place_of`. `run` adds the updates on the given number of threads."""
        self._rows_of = rows_of
        self._batch = batch
        self._pairs_LA3 = pairs_LA3
        self._first_pair, self._pairs_stride = pairs_LA3.ctypes.data, pairs_LA3.strides[0]
        self._rank = int(pairs_LA3[:, :, 2].max())
        self._place_of = place_of
        self._run = run
        self._prepared: dict[int, _Prepared] = {}

    def add(self, name: str, x: Tensor, out: Tensor) -> None:
        is_direct = out.dtype == torch.float32 and out.is_contiguous()
        added_to = out if is_direct else torch.zeros(out.shape, dtype=torch.float32)
        self._add(name, x.float().contiguous(), added_to)
        if not is_direct:
            out.add_(added_to)

    def _add(self, name: str, x: Tensor, out: Tensor) -> None:
        """`x` and `out` are contiguous and float32."""
        width, height = x.shape[-1], out.shape[-1]
        num_rows = x.numel() // width
        if (prepared := self._prepared.get(num_rows)) is None:
            prepared = self._prepared[num_rows] = self._prepare(num_rows)
        call = prepared.call
        call.x, call.width = x.data_ptr(), width
        call.out, call.height = out.data_ptr(), height
        call.pairs = self._first_pair + self._place_of[name] * self._pairs_stride
        work = self._rank * (width + height) * (len(prepared.rows) + _ROWS_A_READING * len(self._rows_of))
        self._run(call, torch.get_num_threads() if work > _WORTH_THREADS else 1)

    def _prepare(self, num_rows: int) -> "_Prepared":
        num_tokens = num_rows // self._batch
        adapted = np.array([row for rows in self._rows_of for row in rows])
        rows = (adapted[:, None] * num_tokens + np.arange(num_tokens)).ravel()
        share = len(rows) // torch.get_num_threads()
        longest = min(max(share, _SHORTEST_PIECE), _LONGEST_PIECE)
        stops = accumulate(len(rows) * num_tokens for rows in self._rows_of)
        pieces_P3 = np.array(
            [
                (first, min(first + longest, stop), place)
                for place, (begin, stop) in enumerate(pairwise([0, *stops]))
                for first in range(begin, stop, longest)
            ]
        )
        call = LoraCall(
            num_rows=num_rows,
            rows=rows.ctypes.data,
            pieces=pieces_P3.ctypes.data,
            num_pieces=len(pieces_P3),
        )
        return _Prepared(rows, pieces_P3, call)


@dataclass(frozen=True)
class _Prepared:
    """Arguments that are the same for all layers with the same number of rows."""

    rows: np.ndarray
    pieces_P3: np.ndarray
    call: LoraCall
    """Holds the addresses of `rows` and `pieces_P3`; the other fields are set per layer."""


def _are_same(held: Sequence[ref[Adapter] | None], adapters: Sequence[Adapter | None]) -> bool:
    if len(held) != len(adapters):
        return False
    pairs = zip(held, adapters, strict=True)
    # A reference to a freed adapter differs from None.
    return all(
        own is None if adapter is None else own is not None and own() is adapter for own, adapter in pairs
    )
