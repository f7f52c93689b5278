"""The environment of vLLM on this machine. It is separate because vLLM needs other versions of packages that
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
"""Packages that must have the same versions as Tunery's: Ray because its processes communicate, the others
because models must compute the same."""

Run = Callable[[Sequence[str]], None]


class InstallationFailed(RuntimeError):
    """The environment could not be created."""


def vllm_python(folder: Path) -> Path:
    """The path of the interpreter in a data folder, whether or not it exists."""
    return folder.absolute() / "vllm" / "bin" / "python"


def install_vllm(folder: Path, *, package: str = "", run: Run | None = None) -> Path:
    """Creates the environment in a data folder, or recreates it. Returns its interpreter. `package` is a
    requirement such as `vllm==0.29.0`; the default is the requirement of Tunery's extra `vllm`. Raises
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
    # Only this package, because the environment that contains it has versions that vLLM must not find.
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (packages / "cluster").symlink_to(Path(cluster.__path__[0]).resolve(), target_is_directory=True)
    return python


def _constraints() -> Iterator[str]:
    for name in _SAME:
        try:
            # CPU builds have a suffix, such as `+cpu`, and vLLM needs the GPU build.
            yield f"{name}=={version(name).partition('+')[0]}"
        except PackageNotFoundError:
            continue


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True)
