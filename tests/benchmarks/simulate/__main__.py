"""The scheduling policy in simulated clusters: `python -m tests.benchmarks.simulate`.

Compares it with first come, first served, with greedy backfill and with strict fair share over several draws
of the jobs, and prints tables in Markdown. All jobs have one priority there, because the others know none; on
the first draw the policy then runs once more with priorities, and on one cluster with elastic jobs. `--write`
puts the tables into docs/scheduling.md, and the charts beside it. What was simulated before with the same
code is remembered in build/simulate."""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.simulate.charts import chart
from tests.benchmarks.simulate.figures import CLASSES, Figures
from tests.benchmarks.simulate.report import (
    BARS,
    bar_cells,
    bar_figures,
    median_and_p90,
    minutes,
    misses,
    spread,
    table,
)
from tests.benchmarks.simulate.runs import Case, Outcome, outcome
from tests.benchmarks.simulate.workloads import SHAPES

_ROOT = Path(__file__).parents[3]
_PAGE = _ROOT / "docs" / "scheduling.md"
_BEGIN, _END = "<!-- simulated -->\n", "<!-- end -->\n"
_NAMES = {"fifo": "FIFO", "greedy": "greedy backfill", "strict": "strict fair share", "ours": "Tunery"}
_ELASTIC_NAMES = {"elastic": "elastic", "alike": "the most", "fewest": "the fewest"}
_AGEING_HOURS = (2.0, 24.0, 96.0)
_ELASTIC_BAR = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description="The scheduling policy in simulated clusters.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--devices", type=int, nargs="+", default=[8, 64, 1024])
    parser.add_argument("--elastic", type=int, nargs="*", default=[64], help="devices, with elastic jobs")
    parser.add_argument("--draws", type=int, default=3, help="of the jobs")
    parser.add_argument("--ageing", action="store_true", help="also other ageing caps")
    parser.add_argument("--write", action="store_true", help="into docs/scheduling.md")
    parser.add_argument("--remembered", type=Path, default=_ROOT / "build" / "simulate")
    options = parser.parse_args()

    def run(case: Case) -> Outcome:
        print(case, file=sys.stderr, flush=True)
        return outcome(case, options.remembered)

    first = {
        f"{devices:,} GPUs, {shape}": Case(shape, devices, options.jobs, 0)
        for devices in options.devices
        for shape in SHAPES
    }
    drawn = {cell: [_draw(case, seed, run) for seed in range(options.draws)] for cell, case in first.items()}
    text = "\n\n".join(
        [
            f"{options.jobs:,} jobs in each of {options.draws} draws. Waits are in minutes, the mean and the "
            "range of the draws.",
            *_compared({cell: [_figures(draw) for draw in draws] for cell, draws in drawn.items()}),
            *_with_priorities(first, run),
            *_elastic({cell: case for cell, case in first.items() if case.devices in options.elastic}, run),
            *_forecasts([draws[0]["ours"] for draws in drawn.values()]),
            *(f"![{title}]({name}.svg)" for name, (title, *_) in _CHARTS.items()),
        ]
    )
    print(text)
    if options.ageing:
        print("\n\n".join(["", *_ageing(first, run)]))
    if options.write:
        for name, picture in _charts(drawn):
            _PAGE.with_name(f"{name}.svg").write_text(picture)
        page = _PAGE.read_text()
        before, rest = page.split(_BEGIN)
        _PAGE.write_text(f"{before}{_BEGIN}\n{text}\n\n{_END}{rest.split(_END)[1]}")


_Run = Callable[[Case], Outcome]
_Draw = Mapping[str, Outcome]
"""By policy."""


def _draw(case: Case, seed: int, run: _Run) -> _Draw:
    """Forecasts are asked for in the first one."""
    forecasts = seed == 0
    return {
        name: run(replace(case, seed=seed, policy=name, forecasts=forecasts and name == "ours"))
        for name in _NAMES
    }


def _figures(draw: _Draw) -> dict[str, Figures]:
    return {name: each.figures for name, each in draw.items()}


def _compared(cells: Mapping[str, Sequence[Mapping[str, Figures]]]) -> Iterator[str]:
    summary, by_size, bars, missed = [], [], [], []
    for cell, draws in cells.items():
        for name, shown in _NAMES.items():
            each = [draw[name] for draw in draws]
            summary.append([
                cell, shown,
                spread([one.mean for one in each], minutes),
                minutes(statistics.fmean(one.p99 for one in each)),
                spread([one.longest_8 for one in each], minutes),
                f"{statistics.fmean(one.starved for one in each):,.0f}",
                f"{statistics.fmean(one.utilisation for one in each):.1%}",
                spread([one.jain for one in each], "{:.3f}".format),
            ])  # fmt: skip
            by_size.append([cell, shown, *(_of_class(each, size) for size in CLASSES)])
        found = bar_figures(draws)
        bars.append([cell, *bar_cells(found)])
        missed += misses(cell, found)
    yield table(
        ["Cluster and jobs", "Policy", "Mean wait", "p99", "Longest of 8 GPUs", "Over a day", "Utilisation",
         "Jain"],
        summary,
    )  # fmt: skip
    yield "Mean wait and p99 by the size of the gang:"
    yield table(["Cluster and jobs", "Policy", *(f"{size} GPUs" for size in CLASSES)], by_size)
    yield "The bars, beside our figures. Those that are missed on average are bold:"
    yield table(["Cluster and jobs", *map(str, BARS)], bars)
    failed = sum("is missed" in line for line in missed)
    yield f"Of {len(BARS) * len(cells)} bars, {failed} are missed on average:"
    yield "\n".join(missed) if missed else "- none."


def _of_class(each: Sequence[Figures], size: str) -> str:
    if size not in each[0].means:
        return ""
    mean, p99 = (statistics.fmean(of(one)[size] for one in each) for of in (_means, _p99s))
    return f"{minutes(mean)} / {minutes(p99)}"


def _means(figures: Figures) -> dict[str, float]:
    return figures.means


def _p99s(figures: Figures) -> dict[str, float]:
    return figures.p99s


def _with_priorities(first: Mapping[str, Case], run: _Run) -> Iterator[str]:
    rows = []
    for cell, case in first.items():
        found = run(replace(case, kind="priorities")).figures
        waits = [minutes(wait) for wait in found.by_priority.values()]
        rows.append([cell, *waits, f"{found.preemptions:,}", f"{found.utilisation:.1%}"])
    yield "With priorities (of ten jobs, one is high and two are low), mean waits in the first draw:"
    yield table(["Cluster and jobs", "High", "Normal", "Low", "Preemptions", "Utilisation"], rows)


def _elastic(first: Mapping[str, Case], run: _Run) -> Iterator[str]:
    rows, missed = [], []
    for cell, case in first.items():
        ends = {}
        for kind, name in _ELASTIC_NAMES.items():
            found = run(replace(case, kind=kind, forecasts=kind == "alike")).figures
            ends[kind] = found.until_end
            waits = minutes(found.until_start), minutes(found.until_end)
            rows.append([cell, name, *waits, f"{found.utilisation:.1%}", f"{found.resizes:,}"])
        ratio = ends["elastic"] / min(ends["alike"], ends["fewest"])
        if ratio > _ELASTIC_BAR:
            missed.append(f"{cell}, with {ratio:.2f}")
    if rows:
        yield (
            "Elastic jobs, which may run with down to a quarter of their workers, beside the same jobs with "
            "the most or the fewest of them. Minutes from sending, in the first draw:"
        )
        head = ["Cluster and jobs", "Workers", "Until the start", "Until the end", "Utilisation", "Resizes"]
        yield table(head, rows)
        yield (
            f"The bar, a time until the end of at most {_ELASTIC_BAR:g} times that with the better "
            f"fixed number, is {'missed: ' + '; '.join(missed) if missed else 'met'}."
        )


def _ageing(first: Mapping[str, Case], run: _Run) -> Iterator[str]:
    rows = []
    for cell, case in first.items():
        draw = {name: run(replace(case, policy=name)).figures for name in ("greedy", "fifo")}
        cells = []
        for hours in _AGEING_HOURS:
            ours = run(replace(case, ageing_hours=hours, forecasts=hours == Case.ageing_hours)).figures
            values = [bar.of(ours, draw["greedy"], draw["fifo"]) for bar in BARS]
            mean, longest, _, jain, _ = values
            cells.append(f"{mean:.2f} · {longest:.2f} · {jain:.2f}")
        rows.append([cell, *cells])
    yield "With other ageing caps, in hours: mean wait / greedy's · longest of 8 GPUs / FIFO's · Jain:"
    yield table(["Cluster and jobs", *(f"{hours:g}" for hours in _AGEING_HOURS)], rows)


def _forecasts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    starts = [error for each in outcomes for error in each.start_errors]
    ends = [error for each in outcomes for error in each.end_errors]
    rows = []
    for name, found in (("start", starts), ("end", ends)):
        median, p90 = median_and_p90([abs(each) for each in found])
        longer = statistics.median(found) if found else 0.0
        rows.append([f"Time until the {name}", f"{median:.2f}", f"{p90:.2f}", f"{math.exp(longer):.2f}"])
    yield f"The error of {len(starts):,} forecasts in the first draw, as |ln(actual / forecast)|:"
    yield table(["", "Median", "p90", "Median of actual / forecast"], rows)


_CHARTS = {
    "scheduling-waits": ("Mean wait beside greedy backfill's", BARS[0]),
    "scheduling-fairness": ("Fairness under contention (Jain's index)", BARS[3]),
}
"""Name of the file, title, and the bar that is shown: the mean of all draws."""


def _charts(drawn: Mapping[str, Sequence[_Draw]]) -> Iterator[tuple[str, str]]:
    labels = [cell.replace(" GPUs,", "") for cell in drawn]
    found = [bar_figures([_figures(draw) for draw in draws]) for draws in drawn.values()]
    for name, (title, bar) in _CHARTS.items():
        values = [statistics.fmean(each[BARS.index(bar)]) for each in found]
        yield name, chart(title, labels, values, bar.limit, is_least=bar.is_least)


if __name__ == "__main__":
    main()
