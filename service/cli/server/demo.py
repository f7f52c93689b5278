"""`tunery demo`: fine-tunes a model from end to end, through the public API."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.cli.http.retrying import retried
from service.cli.jobs.following import follow
from service.cli.progress import bar
from service.cli.remote import Api, Target
from service.ports import free_ports

BASE = "tunery-tiny-1"
HYPERPARAMETERS = {"n_epochs": 4, "batch_size": 8}
SHOWN = 6
_READY_SECONDS = 180.0
_BUSY_SECONDS = 120.0
"""How long a question waits while models are being loaded."""


class DemoFailed(RuntimeError):
    """The message says which part failed and where its log is."""


@dataclass(frozen=True)
class Question:
    messages: list[dict[str, str]]
    expected: str


def run_demo(folder: Path | None) -> None:
    """Starts Tunery, fine-tunes, compares both models' answers, and stops Tunery. Leaves no processes behind.
    Raises DemoFailed."""
    console = Console(highlight=False)
    started = time.monotonic()
    # Converted to an exception, SIGTERM also ends the processes that were started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with _folder(folder) as data, _tunery(data, console) as api:
        questions = _questions()
        job = tune(api, console)
        model = job["fine_tuned_model"]
        with ThreadPoolExecutor(8) as pool:
            before = list(pool.map(lambda question: ask(api, BASE, question), questions))
            after = list(pool.map(lambda question: ask(api, model, question), questions))
        _show(console, questions, before, after)
        _show_evaluation(console, job)
        console.print(f"Model [bold]{model}[/bold]. All of it took {time.monotonic() - started:.0f} s.")


def tune(api: Api, console: Console, *, base: str = BASE) -> dict[str, Any]:
    """Fine-tunes and returns the job once it has succeeded. Raises DemoFailed."""
    uploaded, held_out = _upload(api, "train"), _upload(api, "heldout")
    job = api.post(
        "/fine_tuning/jobs",
        {
            "model": base,
            "training_file": uploaded,
            "validation_file": held_out,
            "suffix": "orders",
            "seed": 1,
            "method": {"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}},
        },
    )
    console.print(f"Uploaded {uploaded}, created {job['id']} on {base}.", soft_wrap=True)
    _show_events(api, job, console)
    job = api.get(f"/fine_tuning/jobs/{job['id']}")
    if job["status"] != "succeeded":
        reason = job["error"]["message"] if job["error"] else "no reason was given"
        raise DemoFailed(f"job {job['id']} ended as {job['status']}: {reason}")
    return job  # type: ignore[no-any-return]


def _upload(api: Api, name: str) -> str:
    files = {"file": (f"orders.{name}.jsonl", _data(name))}
    file = api.http.json("POST", "/files", data={"purpose": "fine-tune"}, files=files)
    return str(file["id"])


def _show_events(api: Api, job: dict[str, Any], console: Console) -> None:
    """Shows the job's progress until it ends: a bar on a terminal, otherwise a line for every tenth of it."""
    tenth = -1
    with bar(job["status"], None, "percent", console=console, is_transient=True) as shown:
        for event in follow(api, job["id"]):
            if event["type"] != "metrics":
                console.print(f"  {event['message']}", markup=False, soft_wrap=True)
                continue
            line = _progress_line(event["data"])
            step, total = event["data"]["step"], event["data"]["total_steps"]
            shown.update(step, total, line)
            if not console.is_terminal and 10 * step // total > tenth:
                tenth = 10 * step // total
                console.print(f"  {line}")


def _progress_line(metrics: dict[str, float]) -> str:
    return (
        f"step {metrics['step']:.0f}/{metrics['total_steps']:.0f}  loss {metrics['train_loss']:.3f}  "
        f"{metrics['tokens_per_second']:.0f} tokens/s  {metrics['eta_seconds']:.0f} s left"
    )


def ask(api: Api, model: str, question: Question) -> str:
    body = {"model": model, "messages": question.messages, "temperature": 0, "max_completion_tokens": 96}
    answer = retried(lambda: api.post("/chat/completions", body), within_seconds=_BUSY_SECONDS)
    return answer["choices"][0]["message"]["content"] or ""


def _show(console: Console, questions: list[Question], before: list[str], after: list[str]) -> None:
    table = Table(title="Questions that were not in the training file", show_lines=True)
    for heading in ("question", f"before: {BASE}", "after: tuned"):
        table.add_column(heading, ratio=1, overflow="fold")
    for question, base, tuned in list(zip(questions, before, after, strict=True))[:SHOWN]:
        mark = "[green]✓[/green]" if tuned == question.expected else "[red]✗[/red]"
        table.add_row(escape(question.messages[-1]["content"]), escape(base), f"{escape(tuned)} {mark}")
    console.print(table)
    for name, answers in (("before", before), ("after", after)):
        exact = sum(answer == question.expected for answer, question in zip(answers, questions, strict=True))
        console.print(f"Exact match {name}: {exact}/{len(questions)} = {exact / len(questions):.2f}")


def _show_evaluation(console: Console, job: dict[str, Any]) -> None:
    """Shows what the model has learned, and what it has forgotten of everything else."""
    for name, key in (("these questions", "held_out"), ("a general set", "general")):
        if compared := job["tunery"]["evaluation"][key]:
            loss, right = (
                f"{_number(compared[f'base_{what}'])} → {_number(compared[f'tuned_{what}'])}"
                for what in ("loss", "accuracy")
            )
            console.print(f"On {name}: loss {loss}, next tokens right {right}")


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.2f}"


def _questions() -> list[Question]:
    rows = [json.loads(line)["messages"] for line in _data("heldout").splitlines()]
    return [Question(messages=row[:-1], expected=row[-1]["content"]) for row in rows]


def _data(name: str) -> bytes:
    return (resources.files("service.cli") / "data" / f"orders.{name}.jsonl").read_bytes()


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    temporary = Path(tempfile.mkdtemp(prefix="tunery-demo-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _tunery(folder: Path, console: Console) -> Iterator[Api]:
    """A running `tunery up` and a client for it."""
    (port,) = free_ports(1)
    key = secrets.token_hex(16)
    console.print("Starting Tunery …")
    process = subprocess.Popen(
        [Path(sys.executable).with_name("tunery"), "up", "--data", folder, "--port", str(port)],
        env={**os.environ, "TUNERY_API_KEY": key},
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_ready(f"http://127.0.0.1:{port}/readyz", process, folder)
        console.print(
            f"Watch it at http://127.0.0.1:{port}/ until it ends, with the key {key}", soft_wrap=True
        )
        with closing(Api(Target(f"http://127.0.0.1:{port}/v1", key))) as api:
            yield api
    finally:
        process.terminate()
        process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"`tunery up` ended with {process.returncode}")
        with suppress(httpx2.TransportError):
            if httpx2.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.3)
    raise DemoFailed(f"not ready after {_READY_SECONDS:.0f} s; its logs are in {folder / 'logs'}")
