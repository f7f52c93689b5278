"""One part in its process: `python -m tests.benchmarks.gpu.part PART FOLDER [--small]`. Prints its findings
as lines of JSON; what else is printed goes to stderr."""

import importlib
import json
import sys
import time
from pathlib import Path

import torch

from tests.benchmarks.gpu.sizes import LARGE, SMALL, Setting


def main(part: str, folder: str, *options: str) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and "--small" not in options:
        sys.exit("There is no GPU. A rehearsal with tiny models needs none: --small")
    if device.type == "cpu":
        torch.set_num_threads(1)
    setting = Setting(SMALL if "--small" in options else LARGE, device, Path(folder))
    report, sys.stdout = sys.stdout, sys.stderr
    began = time.monotonic()
    for finding in importlib.import_module(f"tests.benchmarks.gpu.{part}").run(setting):
        seconds = round(time.monotonic() - began, 1)
        line = {"ok": finding.is_good, "case": finding.case, "seconds": seconds, **finding.figures}
        print(json.dumps(line), file=report, flush=True)
        began = time.monotonic()


if __name__ == "__main__":
    main(*sys.argv[1:])
