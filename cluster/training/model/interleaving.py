"""Several passes through a model at once, so that weights that are read anew for a pass are read once for all
of them.

The passes take turns. One computes until it comes to other weights than those in memory, and goes on once the
others have used those. Each computes what it would compute alone."""

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
        """At most `most` passes are under way at once, each with activations of its own on `device`. One is a
        pass as any other."""
        self.most = most
        self._device = device
        self._turns: deque[threading.Semaphore] = deque()
        """One semaphore for each pass under way. The first one computes, and the others wait for theirs."""
        self._failures: list[BaseException] = []
        self._name: str | None = None
        self._made: Any = None

    def halve(self) -> bool:
        """Halves the number of passes at once. False if it is one already."""
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
        """What `make` returns: the weights of this name. Within `run`, they are made once for all passes that
        are under way, and kept until a pass needs others."""
        if not self._turns:
            return make()
        if name != self._name:
            self._let_others_compute()
        if name != self._name:
            # First, so that there are never two in memory.
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
    """Ends a pass because another one has failed."""


def _circumstances(device: torch.device) -> Callable[[], Any]:
    """Makes contexts in which another thread computes as this one does now: torch keeps these for each
    thread."""
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
