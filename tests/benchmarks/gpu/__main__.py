"""Our kernels, training and serving on one GPU, in less than ten minutes: `python -m tests.benchmarks.gpu`.

Needs torch, transformers, peft and the few packages in `requirements.txt`; no Ray, no web server, no network.
Models have random weights. Each part runs in a process of its own, with a time limit, and is reported as one
line of JSON as soon as it ends; a part that fails or hangs ends no other. Exits with 1 if one did.

`--small` does the same with tiny models, also without a GPU: a rehearsal, whose speeds mean nothing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]

PARTS = {
    "attention": 60,
    "head": 45,
    "packed": 120,
    "compiled": 120,
    "resumed": 60,
    "halved": 60,
    "sharded": 60,
    "large": 150,
    "engine": 120,
    "logprobs": 120,
}
"""The most seconds of each part, in the order in which they run: the cheap ones, on which the others rest,
come first."""
_SECONDS = 585.0
_REHEARSAL = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a rehearsal with tiny models")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for all parts together")
    arguments = parser.parse_args()
    ends = time.monotonic() + arguments.seconds
    are_good = True
    with tempfile.TemporaryDirectory(prefix="bench-gpu-") as name:
        for part in arguments.only:
            limit = _REHEARSAL if arguments.small else PARTS[part]
            seconds = min(limit, ends - time.monotonic())
            for line in _run(part, Path(name), is_small=arguments.small, seconds=seconds):
                print(json.dumps(line), flush=True)
                are_good &= bool(line["ok"])
    return 0 if are_good else 1


def _run(part: str, work: Path, *, is_small: bool, seconds: float) -> Iterator[dict[str, object]]:
    """What the part says; then, if it did not end well, why."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.benchmarks.gpu.part", part, str(work), *["--small"] * is_small]
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        "TOKENIZERS_PARALLELISM": "false",
        "TUNERY_CACHE_DIR": str(work / "cache"),
    }
    errors = work / f"{part}.log"
    with errors.open("w") as log, _started(command, environment, log) as process:
        try:
            printed, _ = process.communicate(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            # The compiler's processes too, which would keep the pipe open.
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            problem = f"not done after {seconds:.0f} seconds"
        else:
            problem = _last_line(errors) if process.returncode else ""
    for line in printed.splitlines():
        yield {"part": part, **json.loads(line)}
    if problem:
        print(errors.read_text(), file=sys.stderr)
        yield {"part": part, "ok": False, "seconds": round(time.monotonic() - began, 1), "error": problem}


def _started(command: list[str], environment: dict[str, str], log: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def _last_line(file: Path) -> str:
    lines = file.read_text().strip().splitlines()
    return lines[-1][:500] if lines else "it ended without a word"


if __name__ == "__main__":
    sys.exit(main())
