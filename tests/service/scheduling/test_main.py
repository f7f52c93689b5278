"""The scheduler's process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from service.db import tables
from service.db.database import Database
from service.ports import free_ports

pytestmark = pytest.mark.slow


def test_the_process_leads_until_sigterm_and_then_releases_the_lease_at_once(
    database_url: str, tmp_path: Path
) -> None:
    database, (port,) = Database(database_url), free_ports(1)
    environment = os.environ | {
        "TUNERY_DATABASE_URL": database_url,
        "TUNERY_STORAGE_URL": f"file://{tmp_path / 'objects'}",
        "TUNERY_RAY_URL": "http://127.0.0.1:1",
        "TUNERY_SERVING_URL": "http://127.0.0.1:1",
        "TUNERY_TICK_SECONDS": "0.05",
        "TUNERY_SCHEDULER_METRICS_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service.scheduling"], env=environment, stdout=subprocess.PIPE, text=True
    )
    deadline = threading.Timer(300, process.kill)
    deadline.start()
    try:
        lines = (json.loads(line) for line in process.stdout)
        assert next(line for line in lines if line["event"] == "leading")["level"] == "info"
        scraped = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert "tunery_scheduler_tick_seconds_count" in scraped
        assert 'tunery_database_connections{state="idle"}' in scraped
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert time.monotonic() - asked_at < 5
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    with database.read() as session:
        assert session.scalars(select(tables.Lease.expires_at)).one() == 0.0
    database.close()


def test_an_unreadable_catalogue_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    environment = os.environ | {"TUNERY_CATALOGUE": str(tmp_path / "absent.toml")}
    environment["TUNERY_STORAGE_URL"] = f"file://{tmp_path}"
    ended = subprocess.run(
        [sys.executable, "-m", "service.scheduling"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode != 0
    assert "absent.toml" in ended.stderr
