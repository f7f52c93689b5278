"""Measurements as a table for people."""

from tests.benchmarks.training.task import Measurement

_MIB = 1 << 20


def table(measured: dict[str, Measurement], *, unit: str) -> str:
    """Real tokens per `unit`; memory before training, and what training adds to it at most."""
    ours = measured["ours"].tokens_per_second
    lines = [
        "",
        f"{'trainer':28}{'tokens / ' + unit:>16}{'ours / it':>11}{'loaded MiB':>12}{'added MiB':>11}"
        f"{'MFU':>7}{'mean loss':>11}{'last loss':>11}",
    ]
    for name, found in measured.items():
        mfu = "" if found.mfu is None else f"{found.mfu:.0%}"
        lines.append(
            f"{name:28}{found.tokens_per_second:16,.0f}{ours / found.tokens_per_second:11.2f}"
            f"{found.loaded_bytes / _MIB:12,.0f}{(found.peak_bytes - found.loaded_bytes) / _MIB:11,.0f}"
            f"{mfu:>7}{found.mean_loss:11.4f}{found.losses[-1]:11.4f}  {found.note}".rstrip()
        )
    return "\n".join(lines)
