"""Runs several passes through a model concurrently, so that weights that must be read for each pass are read
only once for all of them.

The passes take turns. One computes until it needs other weights than those in memory, and continues once the
other passes have used these. Each computes exactly what it would compute alone."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, TypeVar, cast

import torch

Found = TypeVar("Found")


class Interleaving:
    def __init__(self, most: int = 1, device: torch.device = torch.device("cpu")) -> None:
        """At most `most` passes are in flight at once, each with its own activations on `device`. With 1, a
        pass runs as usual."""
        self.most = most
        self._device = device
        self._turns: deque[threading.Semaphore] = deque()
        """One semaphore for each pass in flight. The first pass computes, and the others wait for their
        semaphores."""
        self._failures: list[BaseException] = []
        self._name: str | None = None
        self._made: Any = None

    def halve(self) -> bool:
        """Halves the number of concurrent passes. Returns False if it is already 1."""
        is_several = self.most > 1
        self.most = max(1, self.most // 2)
        return is_several

    def run(self, passes: Iterable[Callable[[], Found]]) -> Iterator[Found]:
        """Yields what the passes return, in their order. Raises the error of the first one that fails."""
        remaining = iter(passes)
        if self.most == 1:
            for each in remaining:
                yield each()
            return
        while group := list(islice(remaining, self.most)):
            yield from self._together(group)

    def shared(self, name: str, make: Callable[[], Found]) -> Found:
        """Returns what `make` returns: the weights with this name. Within `run`, they are made once for all
        passes in flight, and kept until a pass needs others."""
        if not self._turns:
            return make()
        if name != self._name:
            self._let_others_compute()
        if name != self._name:
            # Drop the old weights first, so that there are never two in memory.
            self._forget()
            self._made, self._name = make(), name
        return cast("Found", self._made)

    def _together(self, group: list[Callable[[], Found]]) -> list[Found]:
        results: dict[int, Found] = {}
        turns = [threading.Semaphore(0) for _ in group]

        def work(number: int) -> None:
            turns[number].acquire()
            try:
                if not self._failures:
                    with circumstances():
                        results[number] = group[number]()
            except _GivenUp:
                pass
            except BaseException as error:
                self._failures.append(error)
            finally:
                self._turns.popleft()
                if self._turns:
                    self._turns[0].release()

        circumstances = _circumstances(self._device)
        threads = [
            threading.Thread(target=work, args=(number,), name=f"pass-{number}", daemon=True)
            for number in range(len(group))
        ]
        self._turns, self._failures = deque(turns), []
        for thread in threads:
            thread.start()
        turns[0].release()
        for thread in threads:
            thread.join()
        self._forget()
        if self._failures:
            raise self._failures.pop()
        return [results[number] for number in range(len(group))]

    def _let_others_compute(self) -> None:
        own = self._turns[0]
        self._turns.rotate(-1)
        self._turns[0].release()
        own.acquire()
        if self._failures:
            raise _GivenUp

    def _forget(self) -> None:
        self._made = self._name = None


class _GivenUp(BaseException):
    """Ends a pass because another one failed."""


def _circumstances(device: torch.device) -> Callable[[], Any]:
    """Makes contexts in which another thread computes as this one does now, because torch keeps these
    settings per thread."""
    kind = device.type
    is_autocast, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    has_gradients = torch.is_grad_enabled()

    @contextmanager
    def circumstances() -> Iterator[None]:
        with ExitStack() as stack:
            if kind == "cuda":
                stack.enter_context(torch.cuda.device(device))
            stack.enter_context(torch.autocast(kind, dtype=dtype, enabled=is_autocast))
            stack.enter_context(torch.set_grad_enabled(has_gradients))
            yield

    return circumstances
