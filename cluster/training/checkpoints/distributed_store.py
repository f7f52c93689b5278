"""torch's distributed checkpoints, in safetensors and JSON instead of pickle.

torch plans which worker saves and reads which part; these classes move the bytes. Each worker writes one file
with its own parts and uploads it. A worker that loads a checkpoint fetches only the files that overlap its
parts, for any number of workers and any way to shard."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, distributed
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem, SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from cluster.contracts.errors import TuneryError
from cluster.contracts.manifest import ManifestFile
from cluster.storage.files import unobserved
from cluster.training.checkpoints.saved_tensors import Chunk, Index, SavedTensor, dtype_name
from cluster.training.loop.reporting import kept_alive


class Finish(Protocol):
    def __call__(self, files: list[ManifestFile], index: dict[str, SavedTensor], sent: list[Any]) -> None:
        """Called on the first worker once all workers are done, with the files of the parts, the index of
        what they hold, and what each worker's `send_others` returned."""


def save(
    tensors: Mapping[str, Tensor],
    staged: Mapping[str, Tensor],
    path: Path,
    send: Callable[[Path], ManifestFile],
    send_others: Callable[[], Any],
    finish: Finish,
    group: Any,
) -> None:
    """Saves this worker's parts of `tensors` to the file `path` and uploads it with `send`. The values come
    from `staged`; only the shapes and the sharding are read from `tensors`. All workers of `group` call this,
    each with a different file name; with None, the worker is alone. Raises the error of any worker."""
    writer, planner = _PartWriter(path, send, send_others, finish), _StagedPlanner(staged)
    if group is not None:
        with _first_failure():
            state_dict_saver.save(dict(tensors), storage_writer=writer, planner=planner, process_group=group)
        return
    planner.set_up_planner(dict(tensors), is_coordinator=True)
    (plan,), metadata = planner.create_global_plan([planner.create_local_plan()])
    writer.finish(metadata, [writer.write_data(planner.finish_plan(plan), planner).value()])


def load(
    tensors: Mapping[str, Tensor],
    index: Index,
    fetch: Callable[[str], Path],
    *,
    group: Any = None,
    heartbeat: Callable[[], None] = unobserved,
) -> None:
    """Reads the saved values into `tensors`, of which each worker may hold a part. All workers call this.

    `fetch` returns the path of a file that the index names, and may download it. Workers wait for each other
    as long as the time limit of `group` allows; by default, the group of all workers. `heartbeat` is called
    before each read, and while other workers still read. Raises the error of any worker."""
    reader = _PartReader(index, fetch, heartbeat)
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        # The other workers are watched by themselves.
        with _first_failure(), kept_alive(heartbeat, only_if=lambda: reader.is_done):
            state_dict_loader.load(dict(tensors), storage_reader=reader, process_group=group)
        return
    planner = DefaultLoadPlanner()
    planner.set_up_planner(dict(tensors), reader.read_metadata(), is_coordinator=True)
    reader.read_data(planner.finish_plan(planner.create_local_plan()), planner)


class _StagedPlanner(DefaultSavePlanner):
    def __init__(self, staged: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._staged = staged

    def lookup_object(self, index: MetadataIndex) -> Tensor:
        # Each worker holds one part of a tensor.
        return self._staged[index.fqn]


@contextmanager
def _first_failure() -> Iterator[None]:
    """Raises the error that a worker met, instead of torch's collection of all errors, which is not an
    Exception."""
    try:
        yield
    except CheckpointException as error:
        failures = [failure for failure, _ in error.failures.values()]
        raise next((each for each in failures if isinstance(each, TuneryError)), failures[0]) from error


@dataclass(frozen=True, slots=True)
class _Part:
    """Place where a worker has put a chunk. Workers send it to the first one."""

    dtype: str
    chunk: Chunk
    file: ManifestFile


class _PartWriter(StorageWriter):
    def __init__(
        self,
        path: Path,
        send: Callable[[Path], ManifestFile],
        send_others: Callable[[], Any],
        finish: Finish,
    ) -> None:
        self._path, self._send, self._send_others, self._finish = path, send, send_others, finish

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        tensors, places = {}, []
        for number, item in enumerate(plan.items):
            assert item.tensor_data is not None, "a resume state holds tensors only"
            tensor, key = planner.resolve_data(item), str(number)
            assert isinstance(tensor, Tensor)
            tensors[key] = tensor.detach().contiguous()
            box = item.tensor_data.chunk
            chunk = Chunk(offsets=list(box.offsets), sizes=list(box.sizes), file=self._path.name, key=key)
            places.append((item.index, dtype_name(tensor.dtype), chunk))
        others = WriteResult(MetadataIndex(""), 0, self._send_others())
        results = [others]
        if tensors:
            save_file(tensors, self._path)
            file = self._send(self._path)
            results += [WriteResult(index, 0, _Part(dtype, chunk, file)) for index, dtype, chunk in places]
        return _done(results)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        files: dict[str, ManifestFile] = {}
        index: dict[str, SavedTensor] = {}
        sent = [others.storage_data for others, *_ in results]
        for result in (result for _, *of_worker in results for result in of_worker):
            part: _Part = result.storage_data
            files[part.file.name] = part.file
            name = result.index.fqn
            before = index[name].chunks if name in index else []
            whole = metadata.state_dict_metadata[name]
            assert isinstance(whole, TensorStorageMetadata)
            shape, chunks = list(whole.size), [*before, part.chunk]
            index[name] = SavedTensor(dtype=part.dtype, shape=shape, chunks=chunks)
        self._finish(list(files.values()), index, sent)

    def reset(self, checkpoint_id: str | PathLike[str] | None = None) -> None:
        pass

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        pass

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | PathLike[str]) -> bool:
        return False


class _PartReader(StorageReader):
    """Reads saved tensors. `fetch` returns the path of a file that the index names."""

    def __init__(self, index: Index, fetch: Callable[[str], Path], heartbeat: Callable[[], None]) -> None:
        self._index, self._fetch, self._heartbeat = index, fetch, heartbeat
        self.is_done = False
        """Whether everything was read or reading has failed."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return Metadata({name: _metadata_of(saved) for name, saved in self._index.items()})

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        try:
            self._read(plan, planner)
        finally:
            self.is_done = True
        return _done(None)

    def _read(self, plan: LoadPlan, planner: LoadPlanner) -> None:
        by_file: dict[str, list[tuple[str, ReadItem]]] = {}
        for item in plan.items:
            found = item.storage_index
            chunk = next(
                chunk
                for chunk in self._index[found.fqn].chunks
                if chunk.offsets == list(found.offset or [0] * len(chunk.offsets))
            )
            by_file.setdefault(chunk.file, []).append((chunk.key, item))
        for name, items in by_file.items():
            with safe_open(self._fetch(name), framework="pt") as file:
                for key, item in items:
                    self._heartbeat()
                    _copy(file, key, item, planner)

    def reset(self, checkpoint_id: str | PathLike[str] | None = None) -> None:
        pass

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        pass

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | PathLike[str]) -> bool:
        return False


def _metadata_of(saved: SavedTensor) -> TensorStorageMetadata:
    chunks = [ChunkStorageMetadata(torch.Size(each.offsets), torch.Size(each.sizes)) for each in saved.chunks]
    return TensorStorageMetadata(TensorProperties(dtype=saved.torch_dtype), torch.Size(saved.shape), chunks)


@torch.no_grad()
def _copy(file: Any, key: str, item: ReadItem, planner: LoadPlanner) -> None:
    """Copies a box of a stored chunk to its place. Only the box is read from disk."""
    if item.lengths:
        box = tuple(
            slice(offset, offset + length)
            for offset, length in zip(item.storage_offsets, item.lengths, strict=True)
        )
        value: Tensor = file.get_slice(key)[box]
    else:
        value = file.get_tensor(key)
    target = planner.resolve_tensor(item)
    target.copy_(value)
    planner.commit_tensor(item, target)


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future
