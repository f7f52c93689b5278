"""Finds this machine's devices, and divides them between training and serving."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidConfiguration
from cluster.contracts.serving_plan import GpuSharing, ServingPool

_QUERY = ["--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
_DRIVER_QUERY = ["--query-gpu=driver_version", "--format=csv,noheader"]
_NO_DEVICES = "No devices were found"
_HIDES_ALL = ("-1", "NoDevFiles", "void", "none")
"""Values of CUDA_VISIBLE_DEVICES that mean no device."""
_SECONDS = 30
_CGROUP = Path("/sys/fs/cgroup/memory.max")

_POOLS = TypeAdapter(list[ServingPool])
_SHARING: TypeAdapter[GpuSharing] = TypeAdapter(GpuSharing)

Run = Callable[[Sequence[str]], str]


def local_pool(gpus: Sequence[int], *, workers: int) -> Pool:
    """This machine as a pool: `gpus` lists the memory in bytes of each GPU that training may use. Without
    any, `workers` train on its processors."""
    if gpus:
        # GPUs of different sizes: a job must fit into the smallest that it may be given.
        return Pool(
            name="local",
            kind="cuda",
            devices=len(gpus),
            device_bytes=min(gpus),
            host_bytes=host_bytes(),
        )
    return Pool(name="local", kind="cpu", devices=workers, host_bytes=host_bytes())


@dataclass(frozen=True, slots=True)
class LocalDevices:
    """The division of this machine's devices between training and serving."""

    training: dict[str, str]
    """Environment variables of the service that describe the devices for training."""
    training_pool: Pool | None
    """The pool that these variables describe if no pools are given; None for GPUs that cannot be found."""
    serving: tuple[ServingPool, ...]
    """The GPUs of vLLM."""
    engine_gpus: int
    """Number of GPUs for the embedded engine's replica alone. Without any, it computes on processors."""
    sharing: GpuSharing


def divide_devices(given: Mapping[str, str], gpus: Sequence[int], *, workers: int) -> LocalDevices:
    """Divides this machine between training and serving. `gpus` lists the memory in bytes of all its GPUs; on
    a machine without GPUs, `workers` train. Variables `given` by the environment apply: TUNERY_SERVING_GPUS
    (by default 1 if there are several GPUs), TUNERY_GPU_SHARING (by default `training_first` if there is one
    GPU), and the settings of training and serving themselves."""
    trains_on_gpus = given.get("TUNERY_TRAINING_DEVICE", "cuda") == "cuda"
    sharing = _sharing(given, gpus) if trains_on_gpus else "off"
    if not trains_on_gpus or sharing != "off":
        reserved = len(gpus)
    else:
        reserved = min(int(given.get("TUNERY_SERVING_GPUS") or len(gpus) > 1), max(0, len(gpus) - 1))
    for_training = gpus if sharing != "off" else gpus[reserved:]
    is_embedded = given.get("TUNERY_ENGINE") == "embedded"
    if slots := given.get("TUNERY_TRAINING_SLOTS"):
        for_training = for_training[: int(slots)]
    pool = local_pool(for_training if trains_on_gpus else [], workers=workers)
    return LocalDevices(
        training=_training_environment(given, pool),
        training_pool=pool if _is_found(given, pool) else None,
        serving=() if is_embedded else local_serving_pools(given, gpus[:reserved]),
        engine_gpus=int(is_embedded and sharing == "off" and reserved > 0),
        sharing="off" if is_embedded else sharing,
    )


def local_serving_pools(given: Mapping[str, str], gpus: Sequence[int]) -> tuple[ServingPool, ...]:
    """The pools that are `given`, or otherwise this machine's GPUs."""
    if named := given.get("TUNERY_SERVING_POOLS"):
        return tuple(_POOLS.validate_json(named))
    if not gpus:
        return ()
    return (ServingPool(kind="cuda", devices=len(gpus), device_bytes=min(gpus)),)


def _sharing(given: Mapping[str, str], gpus: Sequence[int]) -> GpuSharing:
    return _SHARING.validate_python(
        given.get("TUNERY_GPU_SHARING") or ("training_first" if len(gpus) == 1 else "off")
    )


def _is_found(given: Mapping[str, str], pool: Pool) -> bool:
    """Whether jobs are to train on this machine's own pool. The type of GPUs that cannot be found is
    unknown."""
    return given.get("TUNERY_TRAINING_DEVICE", pool.kind) == pool.kind


def _training_environment(given: Mapping[str, str], pool: Pool) -> dict[str, str]:
    """The variables that describe the training devices of this machine, except those that are `given`."""
    found = {
        "TUNERY_TRAINING_DEVICE": pool.kind,
        "TUNERY_TRAINING_SLOTS": str(pool.devices),
        "TUNERY_TRAINING_POOLS": f"[{pool.model_dump_json()}]",
    }
    if not _is_found(given, pool):
        del found["TUNERY_TRAINING_POOLS"]
    return {name: given.get(name) or value for name, value in found.items()}


def gpu_bytes(given: Mapping[str, str], run: Run | None = None) -> list[int]:
    """Memory in bytes of each NVIDIA GPU that CUDA_VISIBLE_DEVICES shows, in its order, or of all GPUs if it
    is not `given`; empty if there is no GPU or no nvidia-smi. Raises InvalidConfiguration if the variable
    names a GPU that does not exist, or if nvidia-smi fails and TUNERY_TRAINING_DEVICE is not given."""
    run = run or _nvidia_smi
    try:
        found = _listed(run(_QUERY))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        if given.get("TUNERY_TRAINING_DEVICE"):
            return []
        # Jobs must not end up on processors because a driver is slow or broken.
        raise InvalidConfiguration(
            f"nvidia-smi does not say which GPUs this machine has: {error}. Mend it, or set "
            "TUNERY_TRAINING_DEVICE=cpu to train on processors.",
            param="TUNERY_TRAINING_DEVICE",
        ) from error
    if (visible := given.get("CUDA_VISIBLE_DEVICES")) is None or not found:
        return [size for _, size in found.values()]
    # nvidia-smi shows what the variable hides, and Ray starts nothing there.
    return [_size_of(name, found) for name in _shown(visible)]


def driver_version(run: Run | None = None) -> int | None:
    """The major version of NVIDIA's driver, such as 580. None if nvidia-smi does not report it."""
    try:
        # One line for each GPU.
        return int((run or _nvidia_smi)(_DRIVER_QUERY).partition(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def host_bytes(limit: Path = _CGROUP) -> int:
    """Memory in bytes of this machine, or of the container of this process."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(physical, int(limit.read_text()))
    except (OSError, ValueError):  # There is no limit, or it says "max".
        return physical


def _listed(answer: str) -> dict[str, tuple[str, int]]:
    """UUID and bytes of memory of each GPU, by its index. Raises ValueError for any other answer."""
    if _NO_DEVICES in answer:
        return {}
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines()]
    return {
        # "[N/A]": the GPU has no memory of its own, but uses the host's.
        index: (uuid, host_bytes() if mebibytes.startswith("[") else int(mebibytes) * 2**20)
        for index, uuid, mebibytes in rows
    }


def _shown(visible: str) -> Iterator[str]:
    for name in visible.split(","):
        # CUDA reads it in the same way: later entries are hidden too.
        if not name.strip() or name.strip() in _HIDES_ALL:
            return
        yield name.strip()


def _size_of(name: str, gpus: Mapping[str, tuple[str, int]]) -> int:
    """`gpus` are UUID and size by index. CUDA takes the index or the first characters of the UUID."""
    for index, (uuid, size) in gpus.items():
        if name == index or (not name.isdigit() and uuid.startswith(name)):
            return size
    raise InvalidConfiguration(
        f"CUDA_VISIBLE_DEVICES names {name}, and nvidia-smi finds no such GPU, only "
        f"{', '.join(f'{index} ({uuid})' for index, (uuid, _) in gpus.items())}.",
        param="CUDA_VISIBLE_DEVICES",
    )


def _nvidia_smi(query: Sequence[str]) -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    done = subprocess.run([command, *query], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode and _NO_DEVICES not in done.stdout:
        said = " ".join((done.stdout or done.stderr).split()).rstrip(".")
        raise OSError(said or f"it exits with {done.returncode}")
    return done.stdout
