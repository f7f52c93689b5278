"""Statistics of a training file: its examples, their lengths, turns and labels."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.contracts.data_report import DataReport
from cluster.contracts.jsonl import checked_lines
from cluster.contracts.rows import Conversation, PreferenceRow
from service.cli.output import printable

_BAR = 40
_LABELS = 10


def describe(path: Path, report: DataReport) -> dict[str, Any]:
    roles: Counter[str] = Counter()
    messages: Counter[int] = Counter()
    with_system = with_tools = 0
    with path.open("rb") as stream:
        for line in checked_lines(stream):
            row = line.row.input if isinstance(line.row, PreferenceRow) else line.row
            if isinstance(row, Conversation):
                roles.update(message.role for message in row.messages)
                messages[len(row.messages)] += 1
                with_system += row.messages[0].role in ("system", "developer")
                with_tools += bool(row.tools)
    return {
        "file": str(path),
        "format": report.format,
        "lines": report.n_lines,
        "examples": report.n_examples,
        "errors": sum(finding.count for finding in report.errors),
        "warnings": sum(finding.count for finding in report.warnings),
        "characters": None if report.lengths is None else report.lengths.model_dump(mode="json"),
        "roles": dict(roles.most_common()),
        "messages": {str(number): count for number, count in sorted(messages.items())},
        "with_system": with_system,
        "with_tools": with_tools,
        "labels": None if report.labels is None else report.labels.model_dump(mode="json"),
    }


def statistics_lines(found: dict[str, Any]) -> Iterator[str]:
    for name in ("format", "examples", "errors", "warnings", "with_system", "with_tools"):
        yield f"{name:<12} {found[name]}"
    if found["roles"]:
        yield f"{'roles':<12} " + ", ".join(f"{count} {role}" for role, count in found["roles"].items())
        yield f"{'messages':<12} " + ", ".join(f"{n}: {count}" for n, count in found["messages"].items())
    if lengths := found["characters"]:
        yield (
            f"{'characters':<12} {lengths['total']:,} in all; shortest {lengths['shortest']:,}, "
            f"median {lengths['p50']:,}, mean {lengths['mean']:,.0f}, p90 {lengths['p90']:,}, "
            f"p99 {lengths['p99']:,}, longest {lengths['longest']:,}"
        )
        most = max(bucket["count"] for bucket in lengths["histogram"])
        for bucket in lengths["histogram"]:
            bar = "█" * round(bucket["count"] / most * _BAR)
            yield f"{'':<12} ≤ {bucket['up_to']:>9,} {bucket['count']:>8,} {bar}"
    if labels := found["labels"]:
        for one in labels["counts"][:_LABELS]:
            label = "(not shown)" if one["label"] is None else printable(one["label"])
            yield f"{labels['kind']:<12} {one['count']:>8,} {label}"
        if labels["n_distinct"] > _LABELS:
            yield f"{'':<12} and {labels['n_distinct'] - _LABELS} more"
