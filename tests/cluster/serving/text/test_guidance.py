import json
import resource
import time
from random import Random
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from cluster.bases.text.vocabulary import Vocabulary
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.generation import Sampling
from cluster.contracts.json_schema import MAX_NAME_PATTERNS
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.grammar import Grammar, json_grammar
from cluster.serving.text.guidance import Guidance, Guide, Masks
from tests.cluster.serving.schemas.drawn import schemas
from tests.cluster.serving.writer import END, GUIDANCE, MASKS, TURN_END, VOCABULARY


def _allowed(guide: Guide, masks: Masks = MASKS) -> list[int]:
    tokens: list[int] = masks.allowed([guide])[0].nonzero()[:, 0].tolist()
    return tokens


def _sentencepiece() -> Any:
    """Like Llama 2's: words begin with `▁`, and characters without a token fall back to bytes."""
    spelled = ["<s>", "</s>", "▁", "▁the", '{"', '"', "}", ":", "▁1", "2", "t", "he"]
    vocab = {token: id_ for id_, token in enumerate(spelled)}
    vocab |= {f"<0x{byte:02X}>": len(spelled) + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_a_text_is_followed_to_where_it_must_end() -> None:
    guide = GUIDANCE.start(json_grammar({"const": "ab"}))
    said = b""
    while not guide.must_end:
        token = _allowed(guide)[0]
        said += VOCABULARY.token_bytes(token)
        guide.accept(token)
    assert said == b'"ab"'


def test_all_stop_tokens_are_allowed_where_the_text_may_end_and_nowhere_else() -> None:
    guide = GUIDANCE.start(json_grammar({"type": "integer"}))
    assert not {END, TURN_END} & set(_allowed(guide))
    guide.accept(next(token for token in _allowed(guide) if VOCABULARY.token_bytes(token) == b"7"))
    assert {END, TURN_END} < set(_allowed(guide))
    assert not guide.must_end


def test_an_answer_that_ends_where_its_grammar_may_not_fails() -> None:
    guide = GUIDANCE.start(json_grammar({"const": "ab"}))
    stop_tokens = frozenset({END})
    answer = ChoiceAnswer(Sampling(), 0, vocabulary=VOCABULARY, stop_tokens=stop_tokens, guide=guide)
    answer.accept(_allowed(guide)[0])
    with pytest.raises(InvalidRequest, match="cannot continue"):
        answer.accept(END)


def test_special_tokens_and_ids_beyond_the_vocabulary_are_never_text() -> None:
    guide = GUIDANCE.start(json_grammar({"type": "string"}))
    guide.accept(next(token for token in _allowed(guide)))
    tokens = _allowed(guide)
    assert len(tokens) > 200
    assert not VOCABULARY.special & set(tokens)
    assert max(tokens) < len(VOCABULARY)


def test_a_fork_advances_independently() -> None:
    guide = GUIDANCE.start(json_grammar({"enum": ["a", "b"]}))
    other = guide.fork()
    guide.accept(_allowed(guide)[0])
    assert [VOCABULARY.token_bytes(token) for token in _allowed(other)] == [b'"']
    assert len(_allowed(guide)) == 2


def test_masks_of_many_are_those_of_each_alone() -> None:
    guides = [GUIDANCE.start(json_grammar({"const": value})) for value in ("a", 3, None, {"k": []})]
    together = MASKS.allowed(guides)
    assert torch.equal(together, torch.cat([MASKS.allowed([guide]) for guide in guides]))


def test_sentencepiece_tokens_and_bytes_are_followed() -> None:
    vocabulary = Vocabulary(_sentencepiece())
    guidance = Guidance(vocabulary, num_tokens=len(vocabulary), stop_tokens=frozenset({1}))
    masks = Masks(len(vocabulary))
    schema = {"type": "object", "properties": {"the": {"const": 12}, "é": {"type": "null"}}}
    guide = guidance.start(json_grammar({**schema, "required": ["the", "é"], "additionalProperties": False}))
    text = b'{"the": 12, "\xc3\xa9":null}'
    said = b""
    while not guide.must_end:
        fitting = [
            token for token in _allowed(guide, masks) if text.startswith(said + vocabulary.token_bytes(token))
        ]
        # The longest token, so that words are taken together with their spaces.
        token = max(fitting, key=lambda token: len(vocabulary.token_bytes(token)))
        said += vocabulary.token_bytes(token)
        guide.accept(token)
    assert said == text


def test_a_vocabulary_without_the_tokens_for_a_text_allows_nothing_and_says_so() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a")), eos_token="</s>"
    )
    vocabulary = Vocabulary(tokenizer)
    guide = Guidance(vocabulary, num_tokens=2, stop_tokens=frozenset({1})).start(json_grammar({"const": "b"}))
    assert not Masks(2).allowed([guide]).any()
    assert "no token to continue with" in guide.failure().message
    assert guide.failure().param == "response_format"


def test_schemas_that_are_too_large_together_are_refused() -> None:
    grammar = Grammar("start: " + " | ".join(f'"{n:0100}"' for n in range(2000)), "tools")
    with pytest.raises(InvalidRequest, match="131072 are allowed") as refused:
        GUIDANCE.start(grammar)
    assert refused.value.param == "tools"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "https://example.com/schema.json"}, "copy what is meant into '$defs'"),
        ({"$ref": "#/$defs/none"}, "which the schema does not have"),
        ({"not": {"$ref": "#/$defs/none"}}, "which the schema does not have"),
        ({"type": "string", "pattern": "("}, "regex parse error"),
        ({"type": "string", "pattern": "(?<!a)("}, "cannot be read"),
        ({"type": "strange"}, "strange"),
        ({"type": "strange", "x-guidance": {"lenient": True}}, "strange"),
        ({"type": "object", "properties": ["a"]}, "'properties' should be an object"),
        ({"anyOf": {"type": "string"}}, "'anyOf' should be a list"),
        ({"properties": {"a": 5}}, "'5' stands where a schema should"),
        ({"$ref": "#"}, "no finite value"),
    ],
)
def test_an_unsupported_keyword_is_named_in_the_error(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        GUIDANCE.start(json_grammar(schema))
    assert says in refused.value.message
    assert "guidance" not in refused.value.message
    assert "coerce" not in refused.value.message
    assert refused.value.code == "unsupported_schema"
    assert refused.value.param == "response_format"


def _alternatives(letter: str) -> dict[str, Any]:
    keys = [f"{letter}{number}" for number in range(10)]
    return {"anyOf": [{"properties": {key: {"type": "string"}}, "required": [key]} for key in keys]}


HOSTILE: dict[str, dict[str, Any]] = {
    "cross product": {"allOf": [_alternatives(letter) for letter in "abcdef"]},
    "many items": {"allOf": [_alternatives(letter) for letter in "abc"]},
    "doubling references": {
        "$ref": "#/$defs/d0",
        "$defs": {
            f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2, "properties": {f"p{i}": {}}}
            for i in range(20)
        }
        | {"d20": {"type": "object"}},
    },
    "nested counts": {"type": "string", "pattern": "^(((a?){50}){50}){50}$"},
    "state explosion": {"type": "string", "pattern": "^.*(a|b).{20}(c|d).{20}$"},
    "intersections": {"allOf": [{"type": "string", "pattern": f"a.{{{n}}}b"} for n in range(5, 13)]},
    "look-aheads": {
        "allOf": [
            {"pattern": "^" + "".join(f"(?=.*a.{{{n}}}b)" for n in range(5, 13)) + f".*c.{{{m}}}d"}
            for m in range(5, 13)
        ]
    },
    "names": {
        "type": "object",
        "patternProperties": {f"^(a{{400}})*a{{{n}}}$": {} for n in range(MAX_NAME_PATTERNS)},
    },
    "chain": {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{n}": {"properties": {"a": {"$ref": f"#/$defs/d{n + 1}"}}} for n in range(1000)}
        | {"d1000": {"type": "string"}},
    },
    "forced text": {"type": "string", "pattern": "^a{60000}$"},
    "remainders": {"type": "integer", "multipleOf": 997},
    "properties": {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(2000)}},
    "required": {"type": "object", "required": [f"r{i}" for i in range(6000)]},
    "letters": {"type": "string", "pattern": r"^(\p{L}|\p{N}){0,1000}$"},
    "endless": {"$ref": "#"},
}


def _follow(schema: dict[str, Any], *, num_tokens: int) -> tuple[float, InvalidRequest | None]:
    """CPU seconds of the slowest mask, and the reason that generation ended."""
    slowest = 0.0
    try:
        guide = GUIDANCE.start(json_grammar(schema))
    except InvalidRequest as refused:
        return slowest, refused
    for _ in range(num_tokens):
        before = time.process_time()
        tokens = _allowed(guide)
        slowest = max(slowest, time.process_time() - before)
        if not tokens:
            return slowest, guide.failure()
        guide.accept(tokens[len(tokens) // 2])
        if guide.must_end:
            break
    return slowest, None


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_refused_or_handled_within_limits(name: str) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    slowest, refusal = _follow(HOSTILE[name], num_tokens=200)
    assert refusal is None or len(refusal.message) < 500
    # Ten times the measured values, in CPU seconds and KiB.
    assert time.process_time() - begun < 10
    assert slowest < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 500_000


@given(schemas(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_random_allowed_tokens_make_json_by_the_schema(schema: dict[str, Any], seed: int) -> None:
    random = Random(seed)
    guide = GUIDANCE.start(json_grammar(schema))
    said = b""
    for _ in range(2000):
        token = random.choice(_allowed(guide))
        if token in (END, TURN_END):
            break
        said += VOCABULARY.token_bytes(token)
        guide.accept(token)
        if guide.must_end:
            break
    else:
        raise AssertionError(f"{said[:200]!r} does not end")
    jsonschema.validate(json.loads(said), schema)
