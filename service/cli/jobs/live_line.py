"""A job's progress on one line: step, loss and its trend, a sparkline, speed and remaining time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BLOCKS = "▁▂▃▄▅▆▇█"
_KEPT = 512
"""Number of losses that are kept for the sparkline."""
_SMOOTHED = 10
"""Number of steps whose mean loss is shown. Once there are twice as many, it is compared with the mean of the
previous ones."""


@dataclass(frozen=True)
class Progress:
    """The state of a job, from its events so far."""

    step: int = 0
    total_steps: int = 0
    losses: tuple[float, ...] = ()
    valid_loss: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None

    def after(self, metrics: Mapping[str, Any]) -> "Progress":
        """Progress after one more event of type `metrics` with this data."""
        step = int(metrics["step"])
        loss = _number(metrics.get("train_loss"))
        # A resumed job repeats steps.
        kept = self.losses if step > self.step else self.losses[: -(self.step - step + 1)]
        valid = _number(metrics.get("full_valid_loss")) or _number(metrics.get("valid_loss"))
        return replace(
            self,
            step=step,
            total_steps=int(metrics.get("total_steps") or self.total_steps),
            losses=(*kept, math.nan if loss is None else loss)[-_KEPT:],
            valid_loss=self.valid_loss if valid is None else valid,
            tokens_per_second=_number(metrics.get("tokens_per_second")),
            eta_seconds=_number(metrics.get("eta_seconds")),
        )

    def idle(self) -> "Progress":
        """The same progress without speed and remaining time, until the next step shows that the job
        continues."""
        return replace(self, tokens_per_second=None, eta_seconds=None)


def live_line(progress: Progress, width: int) -> str:
    """Returns at most `width` characters. If not everything fits, the least important parts are left out
    first."""
    if not progress.losses:
        return ""
    ending = f"/{progress.total_steps}" if progress.total_steps else ""
    parts = [f"step {progress.step}{ending}", _loss(progress)]
    if progress.eta_seconds is not None:
        parts.append(f"{duration(progress.eta_seconds)} left")
    if progress.valid_loss is not None:
        parts.append(f"valid {progress.valid_loss:.3f}")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:,.0f} tokens/s")
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 2 + len(part) <= width:
            line = f"{line}  {part}"
    room = min(40, width - len(line) - 2)
    return f"{line}  {sparkline(progress.losses, room)}" if room >= 8 else line[:width]


def sparkline(values: Sequence[float], width: int) -> str:
    """Each character shows the mean of an equal number of values; non-finite numbers are spaces."""
    size = max(1, math.ceil(len(values) / width))
    means = [_mean(values[start : start + size]) for start in range(0, len(values), size)]
    finite = [mean for mean in means if math.isfinite(mean)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    top = len(BLOCKS) - 1
    return "".join(
        BLOCKS[round((mean - low) / span * top) if span else 0] if math.isfinite(mean) else " "
        for mean in means
    )


def duration(seconds: float) -> str:
    """Formats a duration, such as 45 s, 3 min 05 s, 2 h 07 min, 3 d 4 h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def _loss(progress: Progress) -> str:
    losses = progress.losses
    size = _SMOOTHED if len(losses) >= 2 * _SMOOTHED and math.isfinite(losses[-1]) else 1
    now, before = _mean(losses[-size:]), _mean(losses[-2 * size : -size])
    change = now - before
    if not math.isfinite(change):
        return f"loss {now:.3f}"
    mark = "↓" if change < 0 else "↑" if change > 0 else "→"
    return f"loss {now:.3f} {mark}{abs(change):.3f}" + (f" in {size} steps" if size > 1 else "")


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]
