"""The cause of a failed start is found in what vLLM's process prints, and told without the rest of it."""

import os
import subprocess
import sys

import pytest

from cluster.serving.vllm_backend.start_failure import captured_output, replica_failure, start_failure

ABOVE = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")


@pytest.mark.parametrize(
    ("printed", "cause", "words"),
    [
        (
            "(EngineCore pid=7) ERROR 10-09 21:14:07 [core.py:1100] ValueError: Free memory on device cuda:0 "
            "(3.25/79.25 GiB) on startup is less than desired GPU memory utilization (0.9, 71.33 GiB). "
            "Decrease GPU memory utilization or reduce GPU memory used by other processes.",
            "out_of_memory",
            "3.25 of 79.25 GiB free, and the plan needs 71.33 GiB",
        ),
        (
            "ValueError: To serve at least one request with the model's max seq len (8192), (0.35 GiB KV "
            "cache is needed, which is larger than the available KV cache memory (0.29 GiB). Based on",
            "out_of_memory",
            "of 8192 tokens need 0.35 GiB, and 0.29 GiB are left",
        ),
        (
            "ValueError: No available memory for the cache blocks. Try increasing",
            "out_of_memory",
            "TUNERY_ENGINE_BATCH_ADAPTERS",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a total "
            "capacity of 23.56 GiB of which 98.06 MiB is free.",
            "out_of_memory",
            "it wanted 224.00 MiB more of a device with 23.56 GiB, of which 98.06 MiB were free",
        ),
        (
            "Value error, Model architectures ['NewForCausalLM'] are not supported for now. Supported "
            "architectures: dict_keys(['AquilaModel'])",
            "unsupported_model",
            "the architecture NewForCausalLM",
        ),
        (
            "ValueError: Model architecture OldForCausalLM was supported in vLLM until v0.9, and is not",
            "unsupported_model",
            "the architecture OldForCausalLM",
        ),
        (
            "ValueError: MambaForCausalLM does not support LoRA yet.",
            "unsupported_adapters",
            "MambaForCausalLM",
        ),
        (
            "max_lora_rank\n  Input should be 1, 8, 16, 32, 64, 128, 256, 320 or 512 [type=literal_error",
            "unsupported_adapters",
            "TUNERY_ENGINE_LORA_RANK",
        ),
        (
            "ValueError: Total number of attention heads (30) must be divisible by tensor parallel size (4).",
            "unsupported_model",
            "30 attention heads cannot be divided among 4 devices",
        ),
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12080). Please update "
            "your GPU driver by downloading and installing a new version",
            "wrong_versions",
            "needs version 580 or newer for CUDA 13",
        ),
        (
            "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",
            "no_environment",
            "has no CUDA toolkit",
        ),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'ninja'",
            "no_environment",
            "has no ninja",
        ),
        ("RuntimeError: Ninja is required to load C++ extensions", "no_environment", "has no ninja"),
        ("Segmentation fault in /home/secret/path", "crashed", "the log of its replica"),
    ],
)
def test_the_cause_is_named_with_its_numbers_and_nothing_else_is_shown(
    printed: str, cause: str, words: str
) -> None:
    error = start_failure("our-8b", ABOVE, f"INFO loading /home/secret/path\n{printed}\nTraceback: the end")
    assert error.cause == cause
    assert words in error.message
    assert "our-8b" in error.message
    assert "/home/secret" not in error.message


@pytest.mark.parametrize(
    ("said", "cause", "words"),
    [
        (
            'The deployment failed to start 3 times in a row. Error:\n  File "/home/secret/x.py"\n'
            "ModuleNotFoundError: No module named 'pydantic_settings'",
            "no_environment",
            "has no module pydantic_settings",
        ),
        ("The actor died in /home/secret/x.py", "crashed", "the log of the model server"),
    ],
)
def test_a_replica_that_ends_before_it_loads_a_model_names_the_module_that_is_missing(
    said: str, cause: str, words: str
) -> None:
    error = replica_failure("our-8b", said)
    assert error.cause == cause
    assert words in error.message
    assert "our-8b" in error.message
    assert "/home/secret" not in error.message


def test_an_error_of_the_process_itself_is_read_too() -> None:
    error = start_failure("b", ValueError("Model architectures ['X'] are not supported for now."), "")
    assert error.cause == "unsupported_model"


def test_what_child_processes_print_is_captured_and_still_printed(capfd: pytest.CaptureFixture[str]) -> None:
    child = "import sys; print('on stdout'); print('on stderr', file=sys.stderr)"
    with captured_output() as output:
        subprocess.run([sys.executable, "-c", child], check=True)
    assert {"on stdout", "on stderr"} <= set(output().splitlines())
    os.write(1, b"after\n")
    # A copy of both goes where this process's errors go.
    shown = capfd.readouterr()
    assert "on stdout" in shown.err
    assert "after" in shown.out
    assert "after" not in output()


def test_a_child_that_runs_on_neither_blocks_nor_loses_its_output(capfd: pytest.CaptureFixture[str]) -> None:
    child = "import sys; print('begun', flush=True); sys.stdin.readline(); print('x' * 200_000, flush=True)"
    with captured_output():
        process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, text=True)
    process.communicate("go\n", timeout=300)
    assert process.returncode == 0
