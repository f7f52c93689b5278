"""Compiles grammars outside the engine's thread, and caches them. Slow grammars do not delay quick ones."""

from collections import OrderedDict
from functools import partial
from threading import Lock

from cluster.contracts.errors import InvalidRequest
from cluster.serving.fairness.fair_thread import FairThread
from cluster.serving.text.grammar import Grammar
from cluster.serving.text.guidance import Guidance, Guide

_QUICK_CHARACTERS = 16 * 1024
"""Longer grammars go directly to the slow thread."""
_KEPT = 64
_KEPT_CHARACTERS = 512 * 1024
"""Total of all cached grammars: an expensive one of 60 KB takes 14 MB."""
_MOST_TOKENS = 2000
"""Maximum number of tokens generated with one compiled grammar. Each can add 10 lexer states, of which there
may be 50,000 in all."""

_Key = tuple[str, str]
"""Tenant and grammar, so that no tenant can detect another's grammars by timing."""


class Compiler:
    """Compiles the grammars of one engine; used from its event loop. One thread compiles quick grammars and
    another one the rest. Each thread serves the tenants in turn."""

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self._quick = FairThread("compile")
        self._slow = FairThread("compile-slowly")
        self._lock = Lock()
        self._kept: OrderedDict[_Key, Guide | InvalidRequest] = OrderedDict()

    async def start(self, tenant: str, grammar: Grammar) -> Guide:
        """Returns a new guide. Raises InvalidRequest if the grammar is invalid or too expensive, and
        Unavailable once closed."""
        key = (tenant, grammar.text)
        found = self._find(key)
        if found is None and len(grammar.text) <= _QUICK_CHARACTERS:
            found = await self._quick.run(tenant, partial(self._compile_quickly, key, grammar))
        if found is None:
            found = await self._slow.run(tenant, partial(self._compile, key, grammar))
        if isinstance(found, InvalidRequest):
            raise InvalidRequest(found.message, code=found.code, param=found.param)
        return found.fork()

    def close(self) -> None:
        self._quick.close()
        self._slow.close()

    def _compile_quickly(self, key: _Key, grammar: Grammar) -> Guide | InvalidRequest | None:
        found = self._find(key) or self._guidance.start_quickly(grammar)
        return None if found is None else self._keep(key, found)

    def _compile(self, key: _Key, grammar: Grammar) -> Guide | InvalidRequest:
        if (found := self._find(key)) is not None:
            return found
        try:
            return self._keep(key, self._guidance.start(grammar))
        except InvalidRequest as error:
            return self._keep(key, error)

    def _find(self, key: _Key) -> Guide | InvalidRequest | None:
        with self._lock:
            found = self._kept.get(key)
            if isinstance(found, Guide) and found.num_tokens_of_all > _MOST_TOKENS:
                del self._kept[key]
                return None
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _keep(self, key: _Key, found: Guide | InvalidRequest) -> Guide | InvalidRequest:
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _KEPT or sum(len(text) for _, text in self._kept) > _KEPT_CHARACTERS:
                self._kept.popitem(last=False)
        return found
