"""Runs one trainer in a process of its own: `python -m tests.benchmarks.training.child ours '<task>'`.

Prints its measurement as one line of JSON.
"""

import json
import sys
from dataclasses import asdict

from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.task import Task


def main(name: str, text: str) -> None:
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = json.loads(text)
    task = Task(**{**options, "lengths": Lengths(**options["lengths"])})
    torch.set_num_threads(task.threads)
    device = torch.device("cuda" if task.is_gpu and torch.cuda.is_available() else "cpu")
    if name == "ours":
        from tests.benchmarks.training.ours import measure
    else:
        from tests.benchmarks.training.peers import PEERS

        measure = PEERS[name]
    print(json.dumps(asdict(measure(task, device))))


if __name__ == "__main__":
    main(*sys.argv[1:])
