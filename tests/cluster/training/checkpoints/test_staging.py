"""Copies of a state go to page-locked memory where the plan has room for it, and to any other elsewhere."""

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cluster.contracts.devices import Pool
from cluster.contracts.plan import DeviceMemory, Footprint
from cluster.training.checkpoints.staging import CudaPageLock, Staging, page_lock

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


class FakeLock:
    """Locks memory as CUDA would, `most` times. Copies have not arrived until `wait` is called."""

    def __init__(self, most: int = 9) -> None:
        self.most = most
        self.locked: list[Tensor] = []
        self.waits = 0

    def lock(self, memory: Tensor) -> bool:
        if len(self.locked) == self.most:
            return False
        self.locked.append(memory)
        return True

    def unlock(self, memory: Tensor) -> None:
        self.locked = [each for each in self.locked if each is not memory]

    def wait(self) -> None:
        self.waits += 1


class OnGpu(Tensor):
    """A tensor that says it is on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return CUDA


def on_gpu(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(OnGpu)


def state(value: float) -> dict[str, Tensor]:
    return {
        "weights/a": on_gpu(torch.full((3, 5), value)),
        "moments/a": on_gpu(torch.full((3, 5), int(value), dtype=torch.uint8)),
        "extras/step": torch.tensor(value, dtype=torch.float64),
        "extras/none": on_gpu(torch.zeros(0, 4)),
    }


def is_within(tensor: Tensor, memory: Tensor) -> bool:
    begins = memory.data_ptr()
    return begins <= tensor.data_ptr() and tensor.data_ptr() + tensor.nbytes <= begins + memory.nbytes


def test_copies_are_in_locked_memory_and_the_same_memory_each_time(tmp_path) -> None:
    lock = FakeLock()
    staging = Staging(lock)
    for value in (1.0, 2.0):
        wanted = state(value)
        staged = staging.copy(wanted)
        assert lock.waits == value
        (memory,) = lock.locked
        for name, copy in staged.items():
            assert is_within(copy, memory) or not copy.numel()
            assert copy.dtype == wanted[name].dtype
            assert copy.data_ptr() % copy.element_size() == 0
            assert torch.equal(copy, wanted[name].as_subclass(Tensor))
    save_file(staged, tmp_path / "part")
    assert torch.equal(load_file(tmp_path / "part")["weights/a"], torch.full((3, 5), 2.0))
    staging.copy({**state(3.0), "extras/new": torch.zeros(100)})
    assert len(lock.locked) == 1
    assert lock.locked[0] is not memory
    staging.close()
    assert lock.locked == []


def test_without_memory_to_lock_copies_are_ordinary() -> None:
    lock = FakeLock(most=0)
    staging = Staging(lock)
    first = staging.copy(state(1.0))
    assert lock.waits == 0
    second = staging.copy(state(2.0))
    assert torch.equal(second["weights/a"], torch.full((3, 5), 2.0))
    assert first["weights/a"].data_ptr() == second["weights/a"].data_ptr()


def test_tensors_of_a_cpu_are_never_locked() -> None:
    lock = FakeLock()
    Staging(lock).copy({"a": torch.ones(3)})
    assert (lock.locked, lock.waits) == ([], 0)


def footprint(host_bytes: int | None) -> Footprint:
    return Footprint(
        pool=Pool(kind="cuda", devices=1, device_bytes=80, host_bytes=host_bytes),
        form="lora",
        device=DeviceMemory(**dict.fromkeys(DeviceMemory.model_fields, 1)),
        host_bytes=1,
        resume_state_bytes=1,
        served_bytes=1,
    )


def test_memory_is_locked_on_gpus_whose_nodes_memory_was_planned() -> None:
    assert isinstance(page_lock(CUDA, footprint(100)), CudaPageLock)
    assert page_lock(CUDA, footprint(None)) is None
    assert page_lock(CUDA, None) is None
    assert page_lock(CPU, footprint(100)) is None
