"""`python -m service.api` as a process."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import pytest


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_serves_until_sigterm_and_then_ends_by_itself(database_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {
        "TUNERY_DATABASE_URL": database_url,
        "TUNERY_STORAGE_URL": f"file://{tmp_path}/objects",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service.api", "--port", str(port)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "Uvicorn running" in line:
                break
        rest: list[str] = []
        drain = threading.Thread(target=lambda: rest.extend(process.stderr or ()))
        drain.start()
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert http.get("/healthz").status_code == 200
            assert http.get("/readyz").json()["parts"]["database"] == "ok"
            assert "server" not in http.get("/healthz").headers
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == -signal.SIGTERM  # uvicorn ends in order, then by the signal it got
        drain.join(5)
        assert "Application shutdown complete" in "".join(rest)
    finally:
        process.kill()
        process.wait()


def test_importing_the_application_opens_nothing() -> None:
    code = (
        "import sys, service.api.app as app; from service.settings import Settings\n"
        "app.create_app(Settings(database_url='sqlite:////nowhere/x.db', storage_url='file:///nowhere'))\n"
        "heavy = {'torch', 'ray', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
