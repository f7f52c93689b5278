"""The dashboard for Grafana, from a list of panels: `python -m tests.deploy.grafana` writes it."""

import json
from dataclasses import dataclass
from typing import Any

from tests.deploy.manifests import DEPLOY

PATH = DEPLOY / "grafana" / "tunery.json"
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str
    """Grafana's name."""
    queries: dict[str, str]
    """PromQL by legend."""
    kind: str = "timeseries"


def _p95(metric: str, by: str) -> str:
    return f"histogram_quantile(0.95, sum by ({by}, le) (rate({metric}_bucket[$__rate_interval])))"


ROWS: dict[str, list[Panel]] = {
    "State": [
        Panel("Database", "short", {"up": "max(tunery_database_up)"}, "stat"),
        Panel(
            "Scheduler's lease",
            "s",
            {"left": 'max(tunery_lease_remaining_seconds{lease="scheduler"})'},
            "stat",
        ),
        Panel("Jobs running", "short", {"jobs": 'max(tunery_jobs{status="running"})'}, "stat"),
        Panel("Jobs queued", "short", {"jobs": 'max(tunery_jobs{status="queued"})'}, "stat"),
    ],
    "Training": [
        Panel(
            "Jobs that are under way",
            "short",
            {"{{status}}": 'max by (status) (tunery_jobs{status!~"succeeded|failed|cancelled"})'},
        ),
        Panel(
            "Oldest waiting job",
            "s",
            {"{{status}}, {{priority}}": "max by (status, priority) (tunery_job_oldest_seconds)"},
        ),
        Panel(
            "Training slots",
            "short",
            {"held": "max(tunery_training_slots_held)", "all": "max(tunery_training_slots)"},
        ),
        Panel(
            "Tokens trained on", "short", {"{{base}}": "max by (base) (tunery_training_tokens_per_second)"}
        ),
        Panel(
            "Devices by pool",
            "short",
            {
                "{{pool}} held": "max by (pool) (tunery_pool_devices_held)",
                "{{pool}} free": "max by (pool) (tunery_pool_devices_free)",
                "{{pool}} all": "max by (pool) (tunery_pool_devices)",
            },
        ),
        Panel("Nodes by pool", "short", {"{{pool}} {{state}}": "max by (pool, state) (tunery_pool_nodes)"}),
        Panel("Attempts", "short", {"{{state}}": "max by (state) (tunery_attempts)"}),
        Panel(
            "Attempts that ended in the last hour",
            "short",
            {
                "{{result}} {{code}} ({{fault}})": "max by (result, code, fault) "
                "(tunery_attempts_ended_last_hour)"
            },
        ),
        Panel(
            "Longest silence",
            "s",
            {
                "since a sync": "max(tunery_attempt_sync_age_seconds)",
                "since a checkpoint": "max(tunery_checkpoint_age_seconds)",
            },
        ),
        Panel(
            "Checkpoints in an hour",
            "short",
            {"{{kind}}": "sum by (kind) (increase(tunery_checkpoints_total[1h]))"},
        ),
        Panel("Publishing, 95 %", "s", {"{{outcome}}": _p95("tunery_publish_seconds", "outcome")}),
    ],
    "Answers": [
        Panel(
            "Tokens per second",
            "short",
            {
                "{{base}} {{kind}}": "sum by (base, kind) "
                "(rate(tunery_inference_tokens_total[$__rate_interval]))"
            },
        ),
        Panel(
            "Time to first token, 95 %",
            "s",
            {"{{base}}": _p95("tunery_inference_first_token_seconds", "base")},
        ),
        Panel("Time between tokens, 95 %", "s", {"{{base}}": _p95("tunery_inference_token_seconds", "base")}),
        Panel("Wait for a turn, 95 %", "s", {"{{base}}": _p95("tunery_inference_queue_seconds", "base")}),
        Panel(
            "Choices",
            "short",
            {
                "running": "sum(tunery_inference_choices_running)",
                "waiting": "sum(tunery_inference_choices_waiting)",
            },
        ),
        Panel(
            "Failures per second",
            "short",
            {
                "{{base}} {{code}}": "sum by (base, code) "
                "(rate(tunery_inference_failures_total[$__rate_interval]))"
            },
        ),
        Panel(
            "KV cache in use",
            "percentunit",
            {
                "{{base}}": "sum by (base) (ray_tunery_engine_choices_running) "
                "/ sum by (base) (ray_tunery_engine_slots)"
            },
        ),
        Panel(
            "Adapters found in memory",
            "percentunit",
            {
                "{{base}}": "1 - sum by (base) "
                "(rate(ray_tunery_engine_adapter_loads_total[$__rate_interval])) / sum by (base) "
                "(rate(ray_tunery_engine_adapter_requests_total[$__rate_interval]))"
            },
        ),
        Panel(
            "Memory of engines",
            "bytes",
            {
                "{{base}} reserved": "sum by (base) (ray_tunery_engine_reserved_bytes)",
                "{{base}} keys and values": "sum by (base) (ray_tunery_engine_kv_cache_bytes)",
            },
        ),
        Panel("Tuned weights in memory", "short", {"{{base}}": "sum by (base) (ray_tunery_engine_adapters)"}),
        Panel(
            "Tokens generated by engines",
            "short",
            {"{{base}}": "sum by (base) (rate(ray_tunery_engine_generated_tokens_total[$__rate_interval]))"},
        ),
        Panel(
            "Choices that wait in engines",
            "short",
            {"{{base}}": "sum by (base) (ray_tunery_engine_choices_waiting)"},
        ),
    ],
    "API": [
        Panel(
            "Requests per second",
            "reqps",
            {"{{route}}": "sum by (route) (rate(tunery_http_requests_total[$__rate_interval]))"},
        ),
        Panel("Duration, 95 %", "s", {"{{route}}": _p95("tunery_http_request_seconds", "route")}),
        Panel(
            "Errors per second",
            "reqps",
            {
                "{{status}} {{route}}": "sum by (status, route) "
                '(rate(tunery_http_requests_total{status=~"[45].."}[$__rate_interval]))'
            },
        ),
        Panel(
            "Requests being answered",
            "short",
            {"{{instance}}": "sum by (instance) (tunery_http_requests_running)"},
        ),
        Panel(
            "Connections to the database",
            "short",
            {
                "{{instance}} {{state}}": "sum by (instance, state) (tunery_database_connections)",
                "{{instance}} limit": "sum by (instance) (tunery_database_connections_limit)",
            },
        ),
    ],
    "Scheduler": [
        Panel("Rounds, 95 %", "s", {"duration": _p95("tunery_scheduler_tick_seconds", "instance")}),
        Panel(
            "Rounds that failed in an hour",
            "short",
            {"{{instance}}": "sum by (instance) (increase(tunery_scheduler_tick_failures_total[1h]))"},
        ),
        Panel(
            "Removed from storage in a day",
            "bytes",
            {
                "{{kind}}": "sum by (kind) (increase(tunery_sweep_removed_bytes_total[1d]))",
                "superseded": "sum(increase(tunery_superseded_removed_bytes_total[1d]))",
            },
        ),
        Panel(
            "Objects removed in a day",
            "short",
            {"{{kind}}": "sum by (kind) (increase(tunery_sweep_removed_objects_total[1d]))"},
        ),
        Panel(
            "Stored, as the last sweep counted",
            "bytes",
            {"{{kind}}": "max by (kind) (tunery_stored_bytes)"},
        ),
        Panel(
            "Since the last complete sweep",
            "s",
            {
                "age": "max(tunery_sweep_age_seconds)",
                "interval": "max(tunery_sweep_interval_seconds)",
            },
        ),
        Panel(
            "Background work that failed in an hour",
            "short",
            {"{{work}}": "sum by (work) (increase(tunery_background_failures_total[1h]))"},
        ),
        Panel(
            "Deleted by retention in a day",
            "short",
            {"{{kind}}": "sum by (kind) (increase(tunery_retention_deleted_total[1d]))"},
        ),
        Panel(
            "Webhooks sent in an hour",
            "short",
            {"{{outcome}}": "sum by (outcome) (increase(tunery_webhook_tries_total[1h]))"},
        ),
        Panel(
            "Webhooks that wait",
            "s",
            {
                "oldest event": "max(tunery_outbox_oldest_seconds)",
                "longest due": "max(tunery_webhook_oldest_due_seconds)",
            },
        ),
        Panel("Webhooks to be sent", "short", {"pending": "max(tunery_webhook_deliveries_pending)"}),
    ],
}


def queries() -> list[str]:
    return [query for panels in ROWS.values() for panel in panels for query in panel.queries.values()]


def dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    top = 0
    for row, members in ROWS.items():
        panels.append(_place({"type": "row", "title": row, "collapsed": False, "panels": []}, 0, top, 24, 1))
        top += 1
        per_line = 4 if members[0].kind == "stat" else 3
        width, height = 24 // per_line, 4 if members[0].kind == "stat" else 8
        for place, panel in enumerate(members):
            left, line = place % per_line * width, place // per_line
            panels.append(_place(_panel(panel), left, top + line * height, width, height))
        top += -(-len(members) // per_line) * height
    return {
        "uid": "tunery",
        "title": "Tunery",
        "tags": ["tunery"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(65 + place), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _place(panel: dict[str, Any], left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {**panel, "gridPos": {"x": left, "y": top, "w": width, "h": height}}


if __name__ == "__main__":
    PATH.write_text(text())
