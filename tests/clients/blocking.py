"""The asynchronous client behind the synchronous one's interface, so that both pass the same tests."""

import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal
from tunery_client import AsyncTunery, Tunery


class Blocking:
    """An object whose coroutine functions return results, and whose asynchronous generators are iterators."""

    def __init__(self, wrapped: Any, portal: BlockingPortal) -> None:
        self._wrapped = wrapped
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        if inspect.ismethod(found):
            return self._blocking(found)
        is_resource = type(found).__module__.startswith("tunery_client._async")
        return Blocking(found, self._portal) if is_resource else found

    def _blocking(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            async def begin() -> Any:
                result = method(*args, **options)
                return await result if inspect.isawaitable(result) else result

            result = self._portal.call(begin)
            return self._items(result) if inspect.isasyncgen(result) else result

        return call

    def _items(self, items: AsyncGenerator[Any]) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(items, end)

        try:
            while (item := self._portal.call(following)) is not end:
                yield item
        finally:
            self._portal.call(items.aclose)


Colour = Literal["sync", "async"]
COLOURS: tuple[Colour, ...] = ("sync", "async")
Connect = Callable[..., Tunery]
"""Takes the arguments of the client."""


@contextmanager
def connecting(colour: Colour) -> Iterator[Connect]:
    """Makes clients of one kind, and closes them at the end."""
    with ExitStack() as stack:
        if colour == "sync":
            yield lambda *args, **options: stack.enter_context(Tunery(*args, **options))
            return
        portal = stack.enter_context(start_blocking_portal())

        def connect(*args: Any, **options: Any) -> Tunery:
            tunery = Blocking(AsyncTunery(*args, **options), portal)
            stack.callback(tunery.aclose)
            return cast(Tunery, tunery)

        yield connect
