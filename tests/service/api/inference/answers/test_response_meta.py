"""Text offsets and fingerprints of answers."""

from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import ModelRef, TokenLogprob
from cluster.contracts.weights import WeightsRef
from service.api.inference.answers.response_meta import ResponseMeta, TextOffsets
from tests.api import BASE


def offsets(*pieces: bytes) -> list[int]:
    places = TextOffsets()
    return [
        places.place(TokenLogprob(token="?", bytes=list(piece), token_id=0, logprob=0.0)) for piece in pieces
    ]


def test_offsets_count_characters_not_bytes() -> None:
    assert offsets("wörld".encode(), b" ", "🙂".encode(), b"!") == [0, 5, 6, 7]


def test_tokens_within_one_character_begin_where_it_begins() -> None:
    smile = "🙂".encode()
    assert offsets(b"a", smile[:1], smile[1:3], smile[3:], b"b") == [0, 1, 1, 1, 2]


def test_the_fingerprint_changes_with_the_weights_and_with_nothing_else() -> None:
    def fingerprint(base: BaseSpec, digest: str | None) -> str:
        adapter = WeightsRef(digest=digest, manifest_key="jobs/k/manifest.json") if digest else None
        return ResponseMeta.make("cmpl", "1", "any", ModelRef(base=base, adapter=adapter)).system_fingerprint

    other = BASE.model_copy(update={"alias": "base-2"})
    prints = [
        fingerprint(BASE, None),
        fingerprint(BASE, "a"),
        fingerprint(BASE, "b"),
        fingerprint(other, None),
    ]
    assert len(set(prints)) == 4
    assert prints[0] == fingerprint(BASE, None)
