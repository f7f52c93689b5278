"""vLLM's interpreter is asked before Ray starts a replica with it, and what is wrong with it is told."""

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from cluster.contracts.errors import EngineStartFailed
from cluster.serving.vllm_backend.environment import Versions, check_environment, complete_variables

HERE = Versions("3.11.7", "2.60.0")


def interpreter(folder: Path, answer: str) -> str:
    """A program that answers as an interpreter would."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return str(program)


def found(**changes: object) -> str:
    complete = {"python": "3.11.7", "ray": "2.60.0", "vllm": "0.29.0", "has_tunery": True, "missing": []}
    return json.dumps(complete | changes)


def test_an_environment_with_everything_passes(tmp_path: Path) -> None:
    check_environment(interpreter(tmp_path, found()), HERE)


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        (found(ray="2.55.0"), "wrong_versions", "has Ray 2.55.0, and the cluster runs Ray 2.60.0"),
        (found(ray=None), "wrong_versions", "has Ray not at all"),
        (found(python="3.12.1"), "wrong_versions", "has Python 3.12.1, and the cluster runs Python 3.11.7"),
        (found(vllm=None), "no_environment", "has no vLLM"),
        (found(has_tunery=False), "no_environment", "package `cluster`"),
        (found(missing=["orjson", "boto3"]), "no_environment", "has no orjson, boto3, which Tunery needs"),
        ("Segmentation fault", "no_environment", "does not run"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, answer: str, cause: str, words: str) -> None:
    with pytest.raises(EngineStartFailed) as failed:
        check_environment(interpreter(tmp_path, answer), HERE)
    assert failed.value.cause == cause
    assert words in failed.value.message
    assert str(tmp_path) not in failed.value.message


def test_an_interpreter_that_is_not_there_is_named_by_its_variable(tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed, match="TUNERY_VLLM_PYTHON names does not exist") as failed:
        check_environment(str(tmp_path / "absent"), HERE)
    assert failed.value.cause == "no_environment"


def test_a_real_interpreter_is_asked() -> None:
    with pytest.raises(EngineStartFailed, match="no vLLM"):
        check_environment(sys.executable, Versions(platform.python_version(), version("ray")))


def test_a_replica_finds_what_tunery_requires(tmp_path: Path) -> None:
    vllm = tmp_path / "vllm-0.29.0.dist-info"
    vllm.mkdir()
    (vllm / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.29.0\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    here = Versions(platform.python_version(), version("ray"))
    check_environment(str(python), here)
    needed = ["pydantic-settings", "no-such-package"]
    with pytest.raises(EngineStartFailed, match="its interpreter has no no-such-package, which"):
        check_environment(str(python), here, needed)


def test_vllm_compiles_no_sampler_and_finds_the_programs_of_its_environment() -> None:
    programs = str(Path(sys.executable).parent)
    variables = {"PATH": "/usr/bin"}
    for _ in range(2):
        complete_variables(variables)
        expected = {"PATH": f"{programs}{os.pathsep}/usr/bin", "VLLM_USE_FLASHINFER_SAMPLER": "0"}
        assert variables == expected
    variables["VLLM_USE_FLASHINFER_SAMPLER"] = "1"
    complete_variables(variables)
    assert variables["VLLM_USE_FLASHINFER_SAMPLER"] == "1"
