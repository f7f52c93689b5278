"""Why a training worker has no GPU, in words that an operator can act on."""

import pytest

from cluster.training.ray_run import no_gpu


@pytest.mark.parametrize(
    ("cuda", "words"),
    [
        ("13.0", "NVIDIA's driver, version 580 or newer: torch is built for CUDA 13.0."),
        ("99.0", "NVIDIA's driver: torch is built for CUDA 99.0."),
        (None, "a build of torch for CUDA, which its own is not."),
    ],
)
def test_a_worker_without_a_gpu_tells_what_its_node_needs(cuda: str | None, words: str) -> None:
    error = no_gpu(cuda)
    assert error.code == "no_gpu"
    assert words in error.message
