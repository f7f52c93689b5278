"""The scheduling policy in simulated clusters: `python -m tests.benchmarks.simulate`.

Compares it with first come, first served, with greedy backfill and with strict fair share, and prints tables
in Markdown. All jobs have one priority there, because the others know none; the policy then runs once more
with priorities. `--write` puts the tables into docs/scheduling.md, and the charts beside it."""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from service.scheduling.policy.snapshot import Rules
from tests.benchmarks.simulate.charts import chart
from tests.benchmarks.simulate.ours import Ours
from tests.benchmarks.simulate.report import (
    CLASSES,
    Figures,
    figures,
    forecast_errors,
    median_and_p90,
    minutes,
    misses,
    table,
)
from tests.benchmarks.simulate.rivals import Fifo, Greedy, StrictFairShare
from tests.benchmarks.simulate.simulator import simulate
from tests.benchmarks.simulate.trades import AGEING_HOURS, over_seeds, with_ageing
from tests.benchmarks.simulate.trades import cell as trade
from tests.benchmarks.simulate.workloads import SHAPES, Job, workload

PAGE = Path(__file__).parents[3] / "docs" / "scheduling.md"
_BEGIN, _END = "<!-- simulated -->\n", "<!-- end -->\n"
_NAMES = {"fifo": "FIFO", "greedy": "greedy backfill", "strict": "strict fair share", "ours": "Tunery"}


def main() -> None:
    parser = argparse.ArgumentParser(description="The scheduling policy in simulated clusters.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--devices", type=int, nargs="+", default=[8, 64, 1024])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="into docs/scheduling.md")
    options = parser.parse_args()
    summary, by_size, prioritised, missed = [], [], [], []
    by_ageing, by_seed = [], []
    start_errors: list[float] = []
    end_errors: list[float] = []
    cells: dict[str, dict[str, Figures]] = {}
    for devices in options.devices:
        for shape in SHAPES:
            jobs = workload(shape, devices, options.jobs, options.seed)
            cell = f"{devices:,} GPUs, {shape}"
            print(cell, file=sys.stderr, flush=True)
            found, rate, (starts, ends) = _compare(jobs, devices)
            start_errors += starts
            end_errors += ends
            cells[cell] = found
            failed = misses(found["ours"], found["greedy"], found["fifo"], rate)
            missed += [f"{cell}: {', '.join(failed)}"] if failed else []
            for name, each in found.items():
                summary.append([
                    cell, _NAMES[name], minutes(each.mean), minutes(each.p99), minutes(each.longest_8),
                    each.starved, f"{each.utilisation:.1%}", f"{each.jain:.3f}",
                    f"{rate:,.0f}" if name == "ours" else "",
                ])  # fmt: skip
                by_size.append([cell, _NAMES[name], *(_of_class(each, size) for size in CLASSES)])
            prioritised.append([cell, *_with_priorities(jobs, devices)])
            ours, greedy, fifo = (found[name] for name in ("ours", "greedy", "fifo"))
            alike = [replace(job, priority="normal") for job in jobs]
            shorter, longer = with_ageing(alike, devices, greedy, fifo)
            by_ageing.append([cell, shorter, trade(ours, greedy, fifo), longer])
            drawn = over_seeds(shape, devices, options.jobs, options.seed, (ours, greedy, fifo))
            by_seed.append([cell, *drawn])
    text = "\n\n".join(
        [
            table(
                ["Cluster and jobs", "Policy", "Mean wait", "p99", "Longest of 8 GPUs", "Over a day",
                 "Utilisation", "Jain", "Decisions/s"],
                summary,
            ),
            "Mean wait and p99 by the size of the gang:",
            table(["Cluster and jobs", "Policy", *(f"{size} GPUs" for size in CLASSES)], by_size),
            "With priorities (of ten jobs, one is high and two are low), mean waits:",
            table(["Cluster and jobs", "High", "Normal", "Low", "Preemptions", "Utilisation"], prioritised),
            "Three draws of the jobs, the lowest and the highest figure:",
            table(["Cluster and jobs", "Mean wait / greedy's", "Longest of 8 / FIFO's", "Jain"], by_seed),
            "With other ageing caps, in hours: mean wait / greedy's · longest of 8 GPUs / FIFO's · Jain:",
            table(["Cluster and jobs", str(AGEING_HOURS[0]), "24", str(AGEING_HOURS[1])], by_ageing),
            _forecast_sentence(start_errors, end_errors),
            "Bars that are missed: " + ("; ".join(missed) if missed else "none") + ".",
            *(f"![{title}]({name}.svg)" for name, (title, *_) in _CHARTS.items()),
        ]
    )  # fmt: skip
    print(text)
    if options.write:
        for name, drawn in _charts(cells):
            PAGE.with_name(f"{name}.svg").write_text(drawn)
        page = PAGE.read_text()
        before, rest = page.split(_BEGIN)
        PAGE.write_text(f"{before}{_BEGIN}\n{text}\n\n{_END}{rest.split(_END)[1]}")


def _compare(
    jobs: list[Job], devices: int
) -> tuple[dict[str, Figures], float, tuple[list[float], list[float]]]:
    """Figures by policy, decisions per second, and errors of forecasts."""
    rules = Rules()
    alike = [replace(job, priority="normal") for job in jobs]
    rivals = {"fifo": Fifo(), "greedy": Greedy(), "strict": StrictFairShare(rules.half_life_seconds)}
    found = {name: figures(simulate(alike, devices, rival), devices) for name, rival in rivals.items()}
    ours = Ours(rules)
    # Of a second of the processor, everything included that brings the policy its snapshots.
    began = time.process_time()
    result = simulate(alike, devices, ours)
    rate = ours.decisions / (time.process_time() - began)
    found["ours"] = figures(result, devices)
    return found, rate, forecast_errors(ours.forecasts, result)


def _with_priorities(jobs: list[Job], devices: int) -> list[object]:
    result = simulate(jobs, devices, Ours(Rules()))
    of = {"high": [0.0], "normal": [0.0], "low": [0.0]}
    for job, wait in result.waits:
        of[job.priority].append(wait / 60)
    total = figures(result, devices)
    means = [minutes(statistics.fmean(each)) for each in of.values()]
    return [*means, f"{total.preemptions:,}", f"{total.utilisation:.1%}"]


def _of_class(each: Figures, size: str) -> str:
    return f"{minutes(each.means[size])} / {minutes(each.p99s[size])}" if size in each.means else ""


def _forecast_sentence(starts: list[float], ends: list[float]) -> str:
    rows = []
    for name, found in (("start", starts), ("end", ends)):
        median, p90 = median_and_p90([abs(each) for each in found])
        longer = statistics.median(found) if found else 0.0
        rows.append([f"Time until the {name}", f"{median:.2f}", f"{p90:.2f}", f"{math.exp(longer):.2f}"])
    return f"The error of {len(starts):,} forecasts, as |ln(actual / forecast)|:\n\n" + table(
        ["", "Median", "p90", "Median of actual / forecast"], rows
    )


_CHARTS: dict[str, tuple[str, Callable[[dict[str, Figures]], float], float, bool]] = {
    "scheduling-waits": (
        "Mean wait beside greedy backfill's",
        # Less a tenth of a minute, which is nothing.
        lambda each: max(0.0, each["ours"].mean - 0.1) / max(each["greedy"].mean, 0.1),
        1.05,
        False,
    ),
    "scheduling-fairness": (
        "Fairness under contention (Jain's index)",
        lambda each: each["ours"].jain,
        0.95,
        True,
    ),
}
"""Name of the file, title, what a cell shows, the bar, and whether it is the least."""


def _charts(cells: dict[str, dict[str, Figures]]) -> Iterator[tuple[str, str]]:
    labels = [cell.replace(" GPUs,", "") for cell in cells]
    for name, (title, value_of, bar, is_least) in _CHARTS.items():
        values = [value_of(each) for each in cells.values()]
        yield name, chart(title, labels, values, bar, is_least=is_least)


if __name__ == "__main__":
    main()
