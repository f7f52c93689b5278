"""Formats measurements as a table."""

from tests.benchmarks.training.task import Measurement

_MIB = 1 << 20


def table(measured: dict[str, Measurement], *, unit: str) -> str:
    """Real tokens per `unit`, memory before training, and the most that training adds to it."""
    ours = measured["ours"].tokens_per_second
    lines = [
        "",
        f"{'trainer':28}{'tokens / ' + unit:>16}{'ours / it':>11}{'loaded MiB':>12}{'added MiB':>11}"
        f"{'MFU':>7}{'mean loss':>11}{'last loss':>11}",
    ]
    for name, run in measured.items():
        speed = run.tokens_per_second
        mfu = "" if run.mfu is None else f"{run.mfu:.0%}"
        lines.append(
            f"{name:28}{speed:16,.0f}{ours / speed:11.2f}"
            f"{run.loaded_bytes / _MIB:12,.0f}{(run.peak_bytes - run.loaded_bytes) / _MIB:11,.0f}"
            f"{mfu:>7}{run.mean_loss:11.4f}{run.losses[-1]:11.4f}  {run.note}".rstrip()
        )
    return "\n".join(lines)
