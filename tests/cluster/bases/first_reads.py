"""Reads a base's folder for the first time in a process, by eight threads at once: `python -m … FOLDER`.

transformers loads its modules when they are first used. Each reader has a process of its own, forked after
what all of them need was imported."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from cluster.bases.pretrained import read_config, read_tokenizer


def read_model(folder: Path) -> None:
    from cluster.serving.embedded.model import load_model

    load_model(folder, dtype="float32", device=torch.device("cpu"))


def failures(read: Callable[[Path], object], folder: Path) -> list[BaseException]:
    barrier, failed = threading.Barrier(8), list[BaseException]()

    def at_once() -> None:
        barrier.wait()
        try:
            read(folder)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=at_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def main() -> int:
    children = []
    for read in (read_tokenizer, read_config, read_model):
        if (pid := os.fork()) == 0:
            failed = failures(read, Path(sys.argv[1]))
            print(read.__name__, failed, flush=True)
            os._exit(len(failed))
        children.append(pid)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in children)


if __name__ == "__main__":
    sys.exit(main())
