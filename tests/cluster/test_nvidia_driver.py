"""The driver that torch needs is known before torch is imported."""

import sys
from pathlib import Path

import pytest
import torch

from cluster.nvidia_driver import cuda_of_torch, least_driver


@pytest.mark.parametrize(
    ("cuda", "least"), [("13.0", 580), ("13.2", 580), ("12.8", 525), ("11.8", 450), ("99.1", None)]
)
def test_each_cuda_has_an_oldest_driver(cuda: str, least: int | None) -> None:
    assert least_driver(cuda) == least


def test_the_installed_torch_tells_its_cuda() -> None:
    assert cuda_of_torch() == torch.version.cuda


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ("cuda: Optional[str] = '13.0'", "13.0"),
        ("cuda = '12.8'", "12.8"),
        ("cuda: Optional[str] = None", None),
    ],
)
def test_cuda_is_read_without_importing_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, cuda: str | None
) -> None:
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError\n")
    (folder / "version.py").write_text(f"__version__ = '2.13.0'\ndebug = False\n{line}\nhip = None\n")
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    assert cuda_of_torch() == cuda
