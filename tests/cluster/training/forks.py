"""Processes that have torch and training imported when they start.

They are forks of a process that imported them once: each takes a tenth of a second instead of five."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess

import torch

FORKS = multiprocessing.get_context("forkserver")


def start_fork(work: Callable[..., None], *arguments: object) -> BaseProcess:
    """Calls `work`, a function of a module, on one thread of torch. Ends with this process at the latest."""
    FORKS.set_forkserver_preload(["tests.cluster.training.recording"])
    process = FORKS.Process(target=_on_one_thread, args=(work, *arguments), daemon=True)
    process.start()
    return process


def exit_codes(processes: list[BaseProcess], *, seconds: float) -> list[int | None]:
    """Waits for all. None stands for one that does not end in time."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def _on_one_thread(work: Callable[..., None], *arguments: object) -> None:
    torch.set_num_threads(1)
    work(*arguments)
