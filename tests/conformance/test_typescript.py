"""The examples of docs/typescript.md, with the types of the OpenAPI document: they compile, and they run."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from service.db import tables
from tests.api import BASE, LiveApi, add_tuned_model, jsonl
from tests.conformance.surface.sdks import CLIENTS
from tests.documents import ROOT, blocks

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PAGE = "docs/typescript.md"
TOOLS = ROOT / "clients" / "dashboard" / "node_modules"
"""Has TypeScript's compiler and openapi-typescript."""
OPTIONS = {
    "strict": True,
    "target": "es2023",
    "module": "nodenext",
    "skipLibCheck": True,
    "types": [],
    "lib": ["es2023", "dom", "dom.asynciterable"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not ((TOOLS / ".bin" / "tsc").exists() and (CLIENTS / "node").exists()) and not os.environ.get("CI"):
        pytest.skip("`make .clients/installed dashboard` installs Node's packages")
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node" / "node_modules")
    (tmp_path / "orders.jsonl").write_bytes(jsonl())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    # Node's own types are a package of their own, and the examples need two names of them.
    (tmp_path / "node.d.ts").write_text(
        'declare module "node:fs" { const fs: { createReadStream(path: string): any }; export default fs }\n'
        "declare const process: { stdout: { write(text: string): void } };\n"
    )
    return tmp_path


def test_every_example_compiles_and_runs(live: LiveApi, folder: Path) -> None:
    examples = [block for block in blocks(PAGE) if block.language == "ts"]
    assert [block.not_run for block in examples] == [None] * len(examples)
    program = "\n".join(block.text for block in examples).replace("tunery-tiny-1", BASE.alias)
    (folder / "example.ts").write_text(program)
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "include": ["*.ts"]}))
    run(folder, TOOLS / ".bin" / "openapi-typescript", ROOT / "openapi" / "openapi.json", "-o", "tunery.ts")
    run(folder, TOOLS / ".bin" / "tsc")
    with trained(live):
        said = run(
            folder,
            CLIENTS / "bin" / "node",
            "example.js",
            OPENAI_BASE_URL=f"{live.url}/v1",
            OPENAI_API_KEY=live.project.key,
        ).splitlines()
    (job,) = live.openai().fine_tuning.jobs.list().data
    assert said[1] in ("validating_files", "succeeded"), "it may be trained by the time it is read"
    assert f"support@prod names {job.fine_tuned_model}" in said[-2]
    assert said[-1].startswith("model_not_found req_")


@contextmanager
def trained(live: LiveApi) -> Iterator[None]:
    """Within the context, every job ends well as soon as it is there."""
    is_over = threading.Event()

    def train() -> None:
        while not is_over.wait(0.2):
            with live.state.database.read() as session:
                jobs = list(session.scalars(select(tables.Job.id).where(tables.Job.status != "succeeded")))
            for job in jobs:
                add_tuned_model(live.state.database, job)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def run(folder: Path, *command: object, **environment: str) -> str:
    path = f"{CLIENTS / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
