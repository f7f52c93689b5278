"""The alert rules and the dashboard: metrics exist, every alert fires, and every query has an answer."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.contracts.metrics import Metric
from cluster.serving.measured import SERVING
from service.metrics import declared
from tests.deploy import grafana
from tests.deploy.manifests import DEPLOY, ROOT

ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
TESTS = DEPLOY / "prometheus" / "alerts_test.yaml"
DECLARED = {one.name: one for one in (*declared.API, *declared.INSTALLATION, *declared.SCHEDULER, *SERVING)}
PROMETHEUS_OWN = {"job", "instance"}
"""Labels that Prometheus adds to every sample."""
_NAME = re.compile(r"\b(?:ray_)?tunery_\w+")
_SELECTED = re.compile(r"((?:ray_)?tunery_\w+)\{([^}]*)\}")


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def expressions() -> list[str]:
    return [*grafana.queries(), *(rule["expr"] for rule in alerts())]


def metric_of(name: str) -> Metric | None:
    return DECLARED.get(name) or DECLARED.get(re.sub(r"_(bucket|sum|count)$", "", name))


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus's own tool: installed, or of `make .prometheus/installed`."""
    own = ROOT / ".prometheus" / "usr" / "bin" / "promtool"
    found = shutil.which("promtool") or (str(own) if own.exists() else None)
    if found is None:
        assert "CI" not in os.environ, "promtool is missing: run make .prometheus/installed"
        pytest.skip("promtool is missing: run make .prometheus/installed")
    return found


def run(promtool: str, *arguments: object, folder: Path) -> str:
    done = subprocess.run(
        [promtool, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_metrics_and_labels_that_exist(expression: str) -> None:
    names = set(_NAME.findall(expression))
    assert [name for name in names if metric_of(name) is None] == []
    for name, selector in _SELECTED.findall(expression):
        metric = metric_of(name)
        assert metric is not None
        assert set(re.findall(r"(\w+)(?:=~|!~|=|!=)", selector)) <= {*metric.labels, *PROMETHEUS_OWN}
    labels = {label for name in names for label in getattr(metric_of(name), "labels", ())}
    grouped = {one.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for one in group.split(",")}
    assert grouped <= labels | PROMETHEUS_OWN | {"le"}


def test_every_metric_has_its_place_in_the_dashboard() -> None:
    shown = {metric_of(name) for query in grafana.queries() for name in _NAME.findall(query)}
    assert [name for name, metric in DECLARED.items() if metric not in shown] == []


def test_the_dashboard_is_up_to_date() -> None:
    assert grafana.PATH.read_text() == grafana.text(), "run python -m tests.deploy.grafana"
    panels = json.loads(grafana.text())["panels"]
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places)), "panels overlap"


def test_every_alert_says_what_to_do_and_has_a_test_that_fires_it_and_one_that_does_not() -> None:
    cases = yaml.safe_load(TESTS.read_text())["tests"]
    tried = [(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]]
    names = [rule["alert"] for rule in alerts()]
    assert set(tried) == {(name, fires) for name in names for fires in (True, False)}
    for rule in alerts():
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    sections = re.findall(r"^## (Tunery\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in alerts()]


def test_every_alert_fires_on_recorded_samples(promtool: str) -> None:
    run(promtool, "check", "rules", ALERTS.name, folder=ALERTS.parent)
    assert "SUCCESS" in run(promtool, "test", "rules", TESTS.name, folder=TESTS.parent)


def test_every_query_of_the_dashboard_has_an_answer_once_each_metric_was_recorded(
    promtool: str, tmp_path: Path
) -> None:
    series = [line for metric in DECLARED.values() for line in recorded(metric)]
    tests = [
        {
            "expr": f"count({query.replace('$__rate_interval', '5m')}) > bool 0",
            "eval_time": "30m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for query in grafana.queries()
    ]
    case = {"interval": "1m", "input_series": series, "promql_expr_test": tests}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"tests": [case]}))
    run(promtool, "test", "rules", "test.yaml", folder=tmp_path)


def recorded(metric: Metric) -> list[dict[str, str]]:
    """Samples of half an hour, with a value for each label that a query selects."""
    values = {"status": ["running", "queued", "500"], "lease": ["scheduler"]}
    sets = [[("instance", "a")]]
    for label in metric.labels:
        sets = [[*one, (label, value)] for one in sets for value in values.get(label, ["x"])]
    if metric.kind == "histogram":
        names, sets = [f"{metric.name}_bucket"], [[*one, ("le", le)] for one in sets for le in ("1", "+Inf")]
    else:
        names = [metric.name]
    step = "1x30" if metric.kind == "gauge" else "0+2x30"
    return [
        {
            "series": f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in one)}}}",
            "values": step,
        }
        for name in names
        for one in sets
    ]
