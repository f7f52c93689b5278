"""Stores a tuned model in the format of another program. An interrupted export continues with the first file
that is not stored yet."""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter

from cluster.bases.processor import processor_files
from cluster.contracts.errors import NotFound
from cluster.contracts.exports import Export, ExportManifest, ExportProgress, ExportRequest, export_of
from cluster.contracts.manifest import ManifestFile
from cluster.exporting.llama_cpp.files import gguf_files
from cluster.exporting.shards import safetensors_files
from cluster.exporting.source import Source, open_source
from cluster.exporting.streams import NewFile, whole_file
from cluster.scratch import scratch_folder
from cluster.storage.keys import export_manifest_key, sibling_key
from cluster.storage.store import ObjectStore

_STORED = "stored.json"
"""Lists the files that are stored so far."""
_FILES = TypeAdapter(list[ManifestFile])


def export_weights(
    request: ExportRequest, store: ObjectStore, report: Callable[[ExportProgress], None]
) -> Export:
    """Stores the export's files, and its manifest last. A repeated call stores the same bytes again.

    Raises InvalidRequest (`format_not_available`) if the model cannot be exported in this format, and what
    `open_source` raises. `report` is called from this thread."""
    key = export_manifest_key(request.export_id)
    store = store.encrypted_with(request.encryption_key)
    if (body := _get(store, key)) is None:
        with scratch_folder() as scratch:
            source = open_source(request, store, scratch)
            files = (
                gguf_files(request, source) if request.format == "gguf" else _merged_files(request, source)
            )
            stored = _store(files, store, key, report)
        manifest = ExportManifest(
            format=request.format,
            quantization=request.quantization,
            weights_sha256=request.weights.digest,
            base_digest=source.base_digest,
            files=stored,
        )
        body = manifest.model_dump_json(indent=1).encode()
        store.put(key, body)
        store.delete(sibling_key(key, _STORED))
    return export_of(body)


def _store(
    files: list[NewFile], store: ObjectStore, key: str, report: Callable[[ExportProgress], None]
) -> list[ManifestFile]:
    total, done = sum(file.bytes for file in files), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(ExportProgress(done_bytes=done, total_bytes=total))

    advance(0)
    known = {
        file.name: file for file in _FILES.validate_json(_get(store, sibling_key(key, _STORED)) or b"[]")
    }
    for file in files:
        if file.name in known:
            advance(file.bytes)
            continue
        info = store.put_sized(sibling_key(key, file.name), file.open(advance), file.bytes)
        assert info.bytes == file.bytes, f"{file.name} has {info.bytes} bytes, not {file.bytes}"
        assert info.sha256 is not None, "a put sees the bytes"
        known[file.name] = ManifestFile(name=file.name, bytes=info.bytes, sha256=info.sha256)
        store.put(sibling_key(key, _STORED), _FILES.dump_json(list(known.values())))
    return [known[file.name] for file in files]


def _merged_files(request: ExportRequest, source: Source) -> list[NewFile]:
    """Returns the files of a folder for transformers' `from_pretrained`."""
    config = json.loads((source.folder / "config.json").read_bytes())
    config.pop("torch_dtype", None)
    config["dtype"] = request.base.dtype
    files = [whole_file("config.json", json.dumps(config, indent=2).encode())]
    if (generation := source.folder / "generation_config.json").is_file():
        files.append(whole_file(generation.name, generation.read_bytes()))
    files += [whole_file(name, content) for name, content in processor_files(source.folder).items()]
    with scratch_folder() as folder:
        source.tokenizer.save_pretrained(folder)
        files += [whole_file(path.name, path.read_bytes()) for path in _files_of(folder)]
    return [*files, *safetensors_files(source.tensors)]


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _get(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except NotFound:
        return None
