"""The publish gate's decision: does rounding explain the difference between serving and training?

Two correct programs differ: in bfloat16 by a tenth of a nat on some tokens. This noise is measured on the
same tokens with the base alone, whose weights are known to be right. The tuned model may differ by twice as
much: beyond that, weights are missing, wrongly scaled or applied twice.

A share of few tokens says little: a single one of 36 is more than the 2 % that may always have another most
likely token. So the number of such tokens may be as high as chance alone makes it once in ten thousand cases,
if the true share is the allowed one. The same applies to tokens beyond the limit of the 99th percentile, if
there are so few tokens that this percentile is the largest difference, or nearly.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cluster.contracts.manifest import Probe, ProbeScores
from cluster.contracts.parity import Differences, Parity

_T = TypeVar("_T")

NOISE_FACTOR = 2.0
"""How much more than the base the tuned model may differ, as a factor."""
_EFFECT_TOLERANCE = 0.1
_EFFECT_ERRORS = 6.0
"""Number of standard errors by which the effect may differ from 1, if that is more than the tolerance."""
_EFFECT_MOST = 0.5
"""If the uncertainty of the effect is larger than this, the effect says nothing."""
_TAIL = 0.01
"""Share of the tokens beyond the 99th percentile."""
_ENOUGH_TOKENS = 200
"""Tokens that are enough for a 99th percentile."""
_CHANCE = 1e-4
"""Chance of refusing a model whose share is within its limit."""
_ROUNDING = 1e-9
"""Rounding error of a share, which is a quotient of two whole numbers."""


@dataclass(frozen=True, slots=True)
class Limits:
    mean: float
    p99: float
    other_top: float
    """Share of positions at which the most likely token may be a different one."""


_FLOORS = {"float32": Limits(2e-4, 1e-3, 0.01), "bfloat16": Limits(0.01, 0.05, 0.02)}
"""Limits that are allowed whatever the noise, by the data type of the frozen weights."""
_CEILINGS = {"float32": Limits(5e-3, 2e-2, 0.05), "bfloat16": Limits(0.1, 0.6, 0.1)}
"""Limits that are never exceeded, whatever the noise: if the base itself differs by more, serving has another
base."""
_UNMEASURED = {"float32": _FLOORS["float32"], "bfloat16": Limits(0.05, 0.3, 0.05)}
"""Limits if there is no base to compare with."""


@dataclass(frozen=True, slots=True)
class Verdict:
    parity: Parity
    limits: Limits
    problems: tuple[str, ...]
    """One sentence for each exceeded limit, with both numbers. Empty if the model may be published."""


def judge(probe: Probe, served: ProbeScores, served_base: ProbeScores | None, *, dtype: str) -> Verdict:
    """Compares serving's results for the probe's rows with training's. `served_base` are serving's scores of
    the model that `probe.base` scored."""
    found = compare(probe, served)
    noise, effect = None, _Effect(None, 0.0)
    if probe.base is not None and served_base is not None:
        noise = compare(probe.base, served_base)
        effect = _effect(probe, served, probe.base, served_base)
    differences = _differences(probe, served)
    limits = _limits(noise, dtype, len(differences))
    parity = Parity(**found.model_dump(), noise=noise, effect=effect.share)
    return Verdict(parity, limits, tuple(_problems(parity, differences, limits, effect)))


def compare(trained: ProbeScores, served: ProbeScores) -> Differences:
    """Returns infinite differences if anything is missing or not a number."""
    differences = _differences(trained, served)
    if not differences:
        return Differences(max_abs=math.inf, mean_abs=math.inf, p99_abs=math.inf)
    tops = _pairs(trained.top_ids, served.top_ids)
    return Differences(
        max_abs=differences[-1],
        mean_abs=math.fsum(differences) / len(differences),
        p99_abs=differences[math.ceil((1 - _TAIL) * len(differences)) - 1],
        same_top=sum(ours == theirs for ours, theirs in tops) / len(tops) if tops else None,
    )


def _differences(trained: ProbeScores, served: ProbeScores) -> list[float]:
    """The differences in ascending order; empty if anything is missing or not a number."""
    pairs = _pairs(trained.logprobs, served.logprobs)
    differences = sorted(abs(ours - theirs) for ours, theirs in pairs or [])
    return differences if all(map(math.isfinite, differences)) else []


@dataclass(frozen=True, slots=True)
class _Effect:
    share: float | None
    tolerance: float


def _effect(probe: Probe, served: ProbeScores, base: ProbeScores, served_base: ProbeScores) -> _Effect:
    """Regresses the change that serving sees on the change that training made. Over hundreds of tokens the
    noise averages out, so that this exposes a wrong scale even if it moves each token by hardly more than the
    noise."""
    flat = [_flat(scores.logprobs) for scores in (probe, served, base, served_base)]
    if len({len(values) for values in flat}) != 1:
        return _Effect(None, 0.0)
    tokens = list(zip(*flat, strict=True))
    change = math.fsum((tuned - before) ** 2 for tuned, _, before, _ in tokens)
    noise = math.fsum((before - after) ** 2 for _, _, before, after in tokens)
    if not (0 < change < math.inf and math.isfinite(noise)):
        return _Effect(None, 0.0)
    # Noise in the regressor lowers the slope by its share of the square, and the rest averages out.
    error = math.sqrt(2 * noise / len(tokens) / change)
    tolerance = max(_EFFECT_TOLERANCE, _EFFECT_ERRORS * error) + noise / change
    if tolerance > _EFFECT_MOST:
        return _Effect(None, 0.0)
    product = math.fsum((tuned - before) * (found - after) for tuned, found, before, after in tokens)
    return _Effect(product / change, tolerance)


def _limits(noise: Differences | None, dtype: str, num_tokens: int) -> Limits:
    if noise is None or noise.p99_abs is None:
        return _UNMEASURED[dtype]
    floor, ceiling = _FLOORS[dtype], _CEILINGS[dtype]
    other_top = 0.0 if noise.same_top is None else 1 - noise.same_top

    def limit(measured: float, of: Callable[[Limits], float]) -> float:
        return max(of(floor), min(NOISE_FACTOR * measured, of(ceiling)))

    return Limits(
        mean=limit(noise.mean_abs, lambda limits: limits.mean),
        p99=limit(noise.p99_abs, lambda limits: limits.p99),
        other_top=_share_by_chance(num_tokens, limit(other_top, lambda limits: limits.other_top)),
    )


def _share_by_chance(num_tokens: int, share: float) -> float:
    """The share of `num_tokens` that may be beyond a limit if `share` of all tokens may be: a quantile of the
    binomial distribution."""
    if not num_tokens:
        return share
    chance = (1 - share) ** num_tokens
    beyond, more = 0, 1 - chance
    while more > _CHANCE:
        chance *= (num_tokens - beyond) / (beyond + 1) * share / (1 - share)
        beyond, more = beyond + 1, more - chance
    return beyond / num_tokens


def _problems(parity: Parity, differences: list[float], limits: Limits, effect: _Effect) -> Iterable[str]:
    # Not `>`: NaN must fail too.
    noise = parity.noise
    if not parity.mean_abs <= limits.mean:
        yield f"mean difference {parity.mean_abs:.3g} nats, allowed {limits.mean:.3g}{_of(noise, 'mean_abs')}"
    assert parity.p99_abs is not None
    if noise is not None and 0 < len(differences) < _ENOUGH_TOKENS:
        yield from _too_many(differences, limits.p99, noise)
    elif not parity.p99_abs <= limits.p99:
        yield f"99th percentile {parity.p99_abs:.3g} nats, allowed {limits.p99:.3g}{_of(noise, 'p99_abs')}"
    if parity.same_top is not None and not parity.same_top >= 1 - limits.other_top - _ROUNDING:
        required = 1 - limits.other_top
        yield f"same most likely token at {parity.same_top:.1%} of the places, required {required:.1%}"
    if noise is not None and not math.isfinite(noise.mean_abs):
        yield "serving's log-probabilities of the base itself are missing or not numbers"
    if effect.share is not None and not abs(effect.share - 1) <= effect.tolerance:
        yield (
            f"serving shows {effect.share:.2f} times the change that training made, "
            f"allowed {1 - effect.tolerance:.2f} to {1 + effect.tolerance:.2f}"
        )


def _too_many(differences: list[float], limit: float, noise: Differences) -> Iterable[str]:
    num_tokens = len(differences)
    beyond = sum(difference > limit for difference in differences)
    allowed = round(num_tokens * _share_by_chance(num_tokens, _TAIL))
    if beyond > allowed:
        yield (
            f"{beyond} of {num_tokens} tokens differ by more than {limit:.3g} nats, allowed {allowed}"
            f"{_of(noise, 'p99_abs')}"
        )


def _of(noise: Differences | None, name: str) -> str:
    return "" if noise is None else f" (the base alone differs by {getattr(noise, name):.3g})"


def _pairs(ours: Sequence[Sequence[_T]], theirs: Sequence[Sequence[_T]]) -> list[tuple[_T, _T]] | None:
    """None if the rows differ in number or length."""
    if [len(row) for row in ours] != [len(row) for row in theirs]:
        return None
    return [pair for rows in zip(ours, theirs, strict=True) for pair in zip(*rows, strict=True)]


def _flat(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row]
