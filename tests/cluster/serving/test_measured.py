"""What replicas measure, from snapshots of their engines."""

from cluster.contracts.generation import EngineStats
from cluster.serving.measured import ADAPTER_REQUESTS, RUNNING, SERVING, TOKENS, EngineMeasures


def stats(base: str, **figures: int) -> EngineStats:
    given = {"running": 0, "waiting": 0, "slots": 8, "adapters": [], "generated_tokens": 0, **figures}
    return EngineStats(base=base, **given)  # type: ignore[arg-type]


def test_engines_of_a_base_are_added_up_and_counters_grow_by_what_is_new() -> None:
    measures = EngineMeasures()
    first = [stats("a", running=2, generated_tokens=5), stats("a", running=1, generated_tokens=1), stats("b")]
    found = {(metric, base): value for metric, base, value in measures.read(first)}
    assert (found[RUNNING, "a"], found[TOKENS, "a"], found[RUNNING, "b"]) == (3, 6, 0)
    assert found.keys() == {(metric, base) for metric in SERVING for base in ("a", "b")}
    again = [stats("a", generated_tokens=9, adapter_requests=2)]
    found = {(metric, base): value for metric, base, value in measures.read(again)}
    assert (found[TOKENS, "a"], found[ADAPTER_REQUESTS, "a"], found[RUNNING, "a"]) == (3, 2, 0)


def test_an_engine_that_was_loaded_anew_counts_from_nothing_and_one_that_is_gone_shows_as_zero() -> None:
    measures = EngineMeasures()
    measures.read([stats("a", running=3, generated_tokens=100)])
    gone = {(metric, base): value for metric, base, value in measures.read([])}
    assert (gone[RUNNING, "a"], gone[TOKENS, "a"]) == (0, 0)
    fresh = {(metric, base): value for metric, base, value in measures.read([stats("a", generated_tokens=7)])}
    assert fresh[TOKENS, "a"] == 7
