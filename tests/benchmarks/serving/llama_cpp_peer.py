"""llama.cpp. A batch has one adapter there, so each adapter gets a context of its own over one model."""

import ctypes
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from tests.benchmarks.serving.gguf_files import write_adapter, write_base
from tests.benchmarks.serving.meter import Arrived, measure
from tests.benchmarks.serving.task import Measurement, Request, Task

_BATCH = 2048
"""Tokens."""
_F32 = 0


@dataclass
class _Row:
    """A request in the context of its adapter."""

    place: int
    """Position in the burst."""
    seq_id: int
    prompt: list[int]
    output: list[int] = field(default_factory=list)


def llama_cpp_cpu(task: Task) -> dict[int, Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        contexts = _contexts(task, Path(folder))

        def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
            rows_of: list[list[_Row]] = [[] for _ in contexts]
            for place, request in enumerate(burst):
                rows = rows_of[request.adapter]
                rows.append(_Row(place, len(rows), request.prompt))
            for context, rows in zip(contexts, rows_of, strict=True):
                llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
                if rows:
                    _step(context, rows, [row.prompt for row in rows])
                    for row in rows:
                        arrived(row.place)
            for _ in range(task.new_tokens - 1):
                for context, rows in zip(contexts, rows_of, strict=True):
                    if rows:
                        _step(context, rows, [row.output[-1:] for row in rows])
            outputs = {row.place: row.output for rows in rows_of for row in rows}
            return [outputs[place] for place in range(len(burst))]

        return measure(task, answer)


def _contexts(task: Task, folder: Path) -> list[Any]:
    """One context for each adapter, with room for its share of the largest burst. They are never freed."""
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    write_base(task, folder / "base.gguf")
    model = llama_cpp.llama_model_load_from_file(
        str(folder / "base.gguf").encode(), llama_cpp.llama_model_default_params()
    )
    assert model, "llama.cpp cannot read the base"
    params = llama_cpp.llama_context_default_params()
    params.n_seq_max = max(1, max(task.levels) // task.n_adapters)
    params.n_ctx = params.n_seq_max * task.context
    params.n_batch = _BATCH
    params.n_threads = params.n_threads_batch = task.threads
    params.type_k = params.type_v = _F32
    contexts = []
    for number in range(task.n_adapters):
        path = folder / f"{number}.gguf"
        write_adapter(task, number, path)
        adapter = llama_cpp.llama_adapter_lora_init(model, str(path).encode())
        assert adapter, "llama.cpp cannot read an adapter"
        context = llama_cpp.llama_init_from_model(model, params)
        adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(adapter)
        assert not llama_cpp.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0))
        contexts.append(context)
    return contexts


def _step(context: Any, rows: list[_Row], chunks: list[list[int]]) -> None:
    """Decodes each row's chunk of new tokens and appends the likeliest next token to its output."""
    total = sum(map(len, chunks))
    assert total <= _BATCH
    batch = llama_cpp.llama_batch_init(total, 0, 1)
    last = []
    for row, chunk in zip(rows, chunks, strict=True):
        first = len(row.prompt) + len(row.output) - len(chunk) if row.output else 0
        for place, token in enumerate(chunk):
            at = batch.n_tokens
            batch.token[at], batch.pos[at] = token, first + place
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, row.seq_id
            batch.logits[at] = place == len(chunk) - 1
            batch.n_tokens += 1
        last.append(batch.n_tokens - 1)
    try:
        assert not llama_cpp.llama_decode(context, batch)
    finally:
        llama_cpp.llama_batch_free(batch)
    vocab = llama_cpp.llama_vocab_n_tokens(
        llama_cpp.llama_model_get_vocab(llama_cpp.llama_get_model(context))
    )
    for row, at in zip(rows, last, strict=True):
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, at), (vocab,))
        row.output.append(int(logits.argmax()))


@llama_cpp.llama_log_callback
def _SILENT(level: int, text: bytes, user_data: ctypes.c_void_p) -> None:  # noqa: N802
    """Drops llama.cpp's log lines."""
