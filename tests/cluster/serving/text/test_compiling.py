"""Grammars are compiled once, and an expensive one delays only its own request."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.contracts.errors import InvalidRequest, Unavailable
from cluster.serving.text import compiling
from cluster.serving.text.compiling import Compiler
from cluster.serving.text.grammar import Grammar, json_grammar
from cluster.serving.text.guidance import Guidance, Guide
from tests.cluster.serving.harness import TIMEOUT_SECONDS
from tests.cluster.serving.text.test_guidance import HOSTILE, _alternatives
from tests.cluster.serving.writer import END, NUM_TOKENS, TURN_END, VOCABULARY

pytestmark = pytest.mark.anyio

CHEAP = json_grammar({"type": "object", "properties": {"a": {"type": "integer"}}})
COSTLY = json_grammar({"allOf": [_alternatives(letter) for letter in "ab"]})


class CountingGuidance(Guidance):
    """Records what it compiles, and in which thread."""

    def __init__(self) -> None:
        super().__init__(VOCABULARY, num_tokens=NUM_TOKENS, stop_tokens=frozenset({END, TURN_END}))
        self.compiled: list[tuple[str, Grammar]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.is_compiling = threading.Event()

    def start_quickly(self, grammar: Grammar) -> Guide | None:
        self.compiled.append(("quick", grammar))
        return super().start_quickly(grammar)

    def start(self, grammar: Grammar) -> Guide:
        self.compiled.append(("slow", grammar))
        self.is_compiling.set()
        assert self.may_go_on.wait(TIMEOUT_SECONDS)
        return super().start(grammar)


@asynccontextmanager
async def _compiler() -> AsyncIterator[tuple[Compiler, CountingGuidance]]:
    guidance = CountingGuidance()
    compiler = Compiler(guidance)
    try:
        yield compiler, guidance
    finally:
        compiler.close()


async def test_a_grammar_is_compiled_once_for_concurrent_and_later_requests() -> None:
    async with _compiler() as (compiler, guidance):
        guides = await asyncio.gather(*(compiler.start("a", CHEAP) for _ in range(8)))
        again = json_grammar({"type": "object", "properties": {"a": {"type": "integer"}}})
        guides.append(await compiler.start("a", again))
        assert guidance.compiled == [("quick", CHEAP)]
        assert len(set(map(id, guides))) == 9


@pytest.mark.parametrize("tenant", ["a", "b"])
async def test_quick_grammars_do_not_wait_for_expensive_ones(tenant: str) -> None:
    async with _compiler() as (compiler, guidance):
        guidance.may_go_on.clear()
        costly = asyncio.create_task(compiler.start("a", COSTLY))
        assert await asyncio.to_thread(guidance.is_compiling.wait, TIMEOUT_SECONDS)
        assert isinstance(await compiler.start(tenant, CHEAP), Guide)
        assert not costly.done()
        guidance.may_go_on.set()
        assert isinstance(await costly, Guide)
        assert [way for way, _ in guidance.compiled] == ["quick", "slow", "quick"]


async def test_a_long_grammar_is_not_tried_among_the_quick_ones() -> None:
    async with _compiler() as (compiler, guidance):
        await compiler.start("a", json_grammar(HOSTILE["properties"]))
        assert [way for way, _ in guidance.compiled] == ["slow"]


async def test_the_error_of_an_invalid_grammar_is_cached() -> None:
    async with _compiler() as (compiler, guidance):
        errors: list[Any] = []
        for _ in range(2):
            with pytest.raises(InvalidRequest) as refused:
                await compiler.start("a", json_grammar({"type": "string", "pattern": "("}))
            errors.append(refused.value)
        assert [way for way, _ in guidance.compiled] == ["quick", "slow"]
        assert errors[0] is not errors[1]
        assert {(error.message, error.code, error.param) for error in errors} == {
            (errors[0].message, "unsupported_schema", "response_format")
        }


async def test_no_tenant_can_detect_the_grammars_of_another() -> None:
    async with _compiler() as (compiler, guidance):
        for tenant in ("a", "b", "a"):
            await compiler.start(tenant, CHEAP)
        assert len(guidance.compiled) == 2


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_KEPT", 2)
    some = [json_grammar({"const": n}) for n in range(3)]

    async with _compiler() as (compiler, guidance):
        for place in (0, 1, 0, 2, 0, 1):
            await compiler.start("a", some[place])
        assert [some.index(grammar) for _, grammar in guidance.compiled] == [0, 1, 2, 1]
        monkeypatch.setattr(compiling, "_KEPT_CHARACTERS", 0)
        await compiler.start("a", CHEAP)
        await compiler.start("a", CHEAP)
        assert [grammar for _, grammar in guidance.compiled][-2:] == [CHEAP, CHEAP]


async def test_texts_by_one_grammar_never_exhaust_the_states_for_later_ones() -> None:
    """Forks share their lexer's states and the limit on them."""
    long = {f"p{n}": {"type": "string", "minLength": 4000 + n, "maxLength": 4000 + n} for n in range(3)}
    grammar = json_grammar(
        {"anyOf": [{"properties": {name: one}, "required": [name]} for name, one in long.items()]}
    )

    tokens = {VOCABULARY.text_bytes(token): token for token in range(len(VOCABULARY))}
    async with _compiler() as (compiler, _):
        for name in long:
            guide = await compiler.start("a", grammar)
            for byte in f'{{"{name}":"{"[" * 4000}'.encode():
                # As in an engine's step: computing masks creates states.
                guide.matcher.compute_bitmask()
                assert not guide.matcher.is_error()
                guide.accept(tokens[bytes([byte])])


async def test_nothing_is_compiled_once_it_is_closed() -> None:
    async with _compiler() as (compiler, _):
        compiler.close()
        with pytest.raises(Unavailable):
            await compiler.start("a", CHEAP)
