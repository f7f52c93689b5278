"""The environment of vLLM on this machine. It is one of its own, because vLLM needs other versions of what
Tunery uses too."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cluster
from cluster.requirements import requirements, requirements_of_extra

_SAME = ("ray", "torch", "peft", "tokenizers", "safetensors")
"""Packages that must have the versions that Tunery has: Ray because its processes talk to each other, the
others because models must compute the same."""

Run = Callable[[Sequence[str]], None]


class InstallationFailed(RuntimeError):
    """The environment could not be made."""


def vllm_python(folder: Path) -> Path:
    """The interpreter in a data folder, whether it is there or not."""
    return folder.absolute() / "vllm" / "bin" / "python"


def install_vllm(folder: Path, *, package: str = "", run: Run | None = None) -> Path:
    """Makes the environment in a data folder, or makes it anew. Returns its interpreter. `package` is a
    requirement such as `vllm==0.29.0`, by default what Tunery's extra `vllm` requires. Raises
    InstallationFailed."""
    run = run or _run
    python = vllm_python(folder)
    environment, constraints = python.parent.parent, folder.absolute() / "vllm-constraints.txt"
    shutil.rmtree(environment, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    constraints.write_text("".join(f"{line}\n" for line in _constraints()))
    try:
        run([sys.executable, "-m", "venv", str(environment)])
        pip = [str(python), "-m", "pip", "install", "--constraint", str(constraints)]
        run([*pip, *requirements(), *([package] if package else requirements_of_extra("vllm"))])
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        raise InstallationFailed(f"{environment} could not be made: {error}") from error
    finally:
        constraints.unlink(missing_ok=True)
    # Only this package: the environment that it is in has versions that vLLM must not find.
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (packages / "cluster").symlink_to(Path(cluster.__path__[0]).resolve(), target_is_directory=True)
    return python


def _constraints() -> Iterator[str]:
    for name in _SAME:
        try:
            # Builds for CPUs have a suffix, such as `+cpu`, and vLLM needs the one for GPUs.
            yield f"{name}=={version(name).partition('+')[0]}"
        except PackageNotFoundError:
            continue


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True)
