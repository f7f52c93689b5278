"""Durations as OpenAI writes them in messages and headers."""

import math


def duration(seconds: float) -> str:
    """Formats a duration, such as 20ms, 9.816s, 6m0s and 3h20m0s, rounded up to a millisecond."""
    milliseconds = math.ceil(round(max(0.0, seconds) * 1000, 6))
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
