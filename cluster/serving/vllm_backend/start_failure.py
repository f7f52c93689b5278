"""Finds out why vLLM did not start. Its engine runs in a separate process: the caller only learns that it
failed, and the process prints the reason."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cluster.contracts.errors import EngineStartFailed, StartFailure

_KEPT_BYTES = 256 * 1024
_DRAIN_SECONDS = 5.0

_KNOWN: tuple[tuple[str, StartFailure, str], ...] = (
    (
        r"Free memory on device[^(]*\(([\d.]+)/([\d.]+) GiB\) on startup.*?, ([\d.]+) GiB\)",
        "out_of_memory",
        "its device has {0} of {1} GiB free, and the plan needs {2} GiB. Another process uses the device",
    ),
    (
        r"max seq len \((\d+)\), \(([\d.]+) GiB KV cache is needed.*?memory \(([\d.]+) GiB\)",
        "out_of_memory",
        "keys and values of {0} tokens need {1} GiB, and {2} GiB are left. Lower context_length in the "
        "catalogue, or serve the model on more devices",
    ),
    (
        r"No available memory for the cache blocks",
        "out_of_memory",
        "its weights and adapters leave no memory for keys and values. Lower TUNERY_ENGINE_BATCH_ADAPTERS or "
        "TUNERY_ENGINE_LORA_RANK, or serve the model on more devices",
    ),
    (
        r"Tried to allocate ([\d.]+ [MG]iB)\..*?total capacity of ([\d.]+ [MG]iB) of which ([\d.]+ [MG]iB)",
        "out_of_memory",
        "it wanted {0} more of a device with {1}, of which {2} were free",
    ),
    (
        r"NVIDIA driver on your system is too old|driver version is insufficient",
        "wrong_versions",
        "its node has an NVIDIA driver that is too old for its build of torch, which needs version 580 or "
        "newer for CUDA 13, and 525 or newer for CUDA 12",
    ),
    (
        r"Could not find nvcc",
        "no_environment",
        "it has to compile a kernel, and its node has no CUDA toolkit. Install one, with nvcc on PATH or "
        "below CUDA_HOME, or choose other kernels by vLLM's variables, such as "
        "VLLM_USE_FLASHINFER_SAMPLER=0",
    ),
    (
        r"No such file or directory: '(?:\S*/)?ninja'|Ninja is required",
        "no_environment",
        "it has to compile a kernel, and its environment has no ninja. Make the environment anew with "
        "`tunery vllm install`, or install ninja on its node",
    ),
    (r"out of memory|OutOfMemoryError", "out_of_memory", "its device has too little memory"),
    (
        r"Model architectures? \[?'?(\w+).{1,60}?(?:not supported|was supported)",
        "unsupported_model",
        'this version of vLLM does not know the architecture {0}. Set engine = "embedded" for the base in '
        "the catalogue, or use another version of vLLM",
    ),
    (
        r"(\w+) does not support LoRA yet",
        "unsupported_adapters",
        'this version of vLLM adds no adapters to {0}. Set engine = "embedded" for the base in the catalogue',
    ),
    (
        r"max_lora_rank\s+Input should be",
        "unsupported_adapters",
        "vLLM does not accept TUNERY_ENGINE_LORA_RANK; it takes 1, 8, 16, 32, 64, 128, 256, 320 or 512",
    ),
    (
        r"attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        "unsupported_model",
        "{0} attention heads cannot be divided among {1} devices",
    ),
)
"""Patterns of what vLLM 0.29 to 0.33 and torch print, the kind of failure, and our message with the numbers
from the output."""


def start_failure(alias: str, error: BaseException, output: str) -> EngineStartFailed:
    """Returns the error for a vLLM that raised `error` when it started, and printed `output`. Its message
    contains nothing of the output but numbers and names of classes, so that it is safe to show."""
    text = f"{error}\n{output}"
    for pattern, cause, words in _KNOWN:
        if found := re.search(pattern, text, re.DOTALL):
            reason = words.format(*(group or "" for group in found.groups()))
            return EngineStartFailed(f"vLLM cannot start {alias}: {reason}.", cause=cause)
    return EngineStartFailed(
        f"vLLM cannot start {alias}: it ended for a reason that the log of its replica has "
        f"({type(error).__name__}).",
        cause="crashed",
    )


def replica_failure(alias: str, said: str) -> EngineStartFailed:
    """Returns the error for replicas that end before vLLM is asked to start. `said` is the message of Ray
    Serve, of which no more than a module's name is shown."""
    if found := re.search(r"No module named '([\w.]+)'", said):
        return EngineStartFailed(
            f"vLLM cannot start {alias}: its environment has no module {found[1]}. Make it anew with "
            "`tunery vllm install`, or install what Tunery's extras `cluster` and `vllm` require.",
            cause="no_environment",
        )
    return EngineStartFailed(
        f"vLLM cannot start {alias}: its replicas end before they load it, for a reason that the log of the "
        "model server has.",
        cause="crashed",
    )


def longest_context(error: BaseException, output: str) -> int | None:
    """Returns the tokens of the longest context for which vLLM has memory, if it did not start because it
    measured less memory than a whole context takes."""
    found = re.search(r"estimated maximum model length is (\d+)", f"{error}\n{output}")
    return int(found[1]) if found else None


@contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Yields a function that returns the end of the output of this process and of those that it starts within
    the block. Everything is also printed as usual, as long as any of these processes runs."""
    tail, reader = _Tail(), threading.Event()
    read_end, write_end = os.pipe()
    saved = [os.dup(number) for number in (1, 2)]
    sink = os.dup(2)
    copying = threading.Thread(target=_copy, args=(read_end, sink, tail, reader), daemon=True)
    copying.start()
    for number in (1, 2):
        os.dup2(write_end, number)
    os.close(write_end)
    try:
        yield lambda: tail.text(reader)
    finally:
        for number, original in zip((1, 2), saved, strict=True):
            os.dup2(original, number)
            os.close(original)


class _Tail:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = b""

    def add(self, printed: bytes) -> None:
        with self._lock:
            self._kept = (self._kept + printed)[-_KEPT_BYTES:]

    def text(self, ended: threading.Event) -> str:
        """Waits a moment for the final output of processes that have ended, and returns the end of it."""
        ended.wait(_DRAIN_SECONDS)
        with self._lock:
            return self._kept.decode(errors="replace")


def _copy(source: int, sink: int, tail: _Tail, ended: threading.Event) -> None:
    while printed := os.read(source, 65536):
        tail.add(printed)
        with suppress(OSError):
            os.write(sink, printed)
    os.close(source)
    os.close(sink)
    ended.set()
