"""Describes an estimate in words: what a job would take, before anything is spent."""

from collections.abc import Iterator, Mapping
from typing import Any

from service.cli.jobs.live_line import duration

_GIB = 2**30


def estimate_lines(estimate: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields headings and texts. Unknown values are reported as such, with the server's reason."""
    rows, tokens, unknown = estimate["rows"], estimate["tokens"], estimate["unknown"]
    yield "base", estimate["model"]
    yield "examples", _examples(rows)
    yield (
        "tokens",
        (
            f"{tokens['trained']:,} trained, {tokens['per_epoch']:,} an epoch, "
            f"{tokens['learned_per_epoch']:,} of them learned"
        ),
    )
    yield "steps", f"{estimate['steps']:,} ({_hyperparameters(estimate['hyperparameters'])})"
    yield "time", _time(estimate["time"]) or _unknown(unknown, "time")
    yield "memory", _memory(estimate["plan"])
    if workers := estimate["workers"]:
        yield "workers", worker_counts(workers)
    queue = estimate["queue"]
    wait = "unknown wait" if queue["seconds"] is None else f"{duration(queue['seconds'])} to wait"
    yield "queue", f"{queue['jobs_ahead']} job(s) ahead, {wait}"
    if price := estimate["price"]:
        yield "price", f"{price['low']:.2f} to {price['high']:.2f} {price['currency']}"


def worker_counts(workers: Mapping[str, Any]) -> str:
    """The numbers of workers that an elastic job may have."""
    counts = sorted({plan["num_workers"] for plan in workers["plans"]})
    return " or ".join(filter(None, (", ".join(map(str, counts[:-1])), str(counts[-1]))))


def _examples(rows: Mapping[str, int]) -> str:
    parts = [f"{rows['trained']:,} trained on"]
    for name, label in (("held_out", "held out"), ("truncated", "truncated"), ("dropped", "dropped")):
        if rows[name]:
            parts.append(f"{rows[name]:,} {label}")
    return ", ".join(parts)


def _hyperparameters(resolved: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in resolved.items())


def _time(time: Mapping[str, Any] | None) -> str | None:
    if time is None:
        return None
    low, high = time["total"]["low"], time["total"]["high"]
    return f"{duration(low)} to {duration(high)}, on {time['device']}, from {time['based_on']} run(s)"


def _memory(plan: Mapping[str, Any]) -> str:
    where = f"{plan['num_workers']} {plan['device'] or 'device'}(s)"
    if plan["device_memory"] is None:
        return f"unknown, on {where}"
    each = plan["device_memory"]["total"] / _GIB
    if plan["num_workers"] == 1:
        return f"{each:.1f} GiB on one {plan['device'] or 'device'}"
    return f"{each:.1f} GiB on each of {where}, {plan['parallelism']}"


def _unknown(unknown: Mapping[str, str], part: str) -> str:
    return f"unknown: {unknown[part]}" if part in unknown else "unknown"
