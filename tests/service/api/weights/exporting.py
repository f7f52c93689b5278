"""A cluster that makes exports at once, without weights."""

import hashlib

from cluster.contracts.exports import (
    ExportAnswer,
    ExportManifest,
    ExportProgress,
    ExportRequest,
    export_of,
)
from cluster.contracts.manifest import ManifestFile
from cluster.storage.keys import export_manifest_key, sibling_key
from service.api.state import AppState
from tests.fakes import FakeServing

CONTENT = bytes(range(256)) * 100


class Cluster:
    """Makes exports of one file, which really is in storage."""

    def __init__(self, state: AppState, serving: FakeServing) -> None:
        self.progress = ExportProgress(done_bytes=0, total_bytes=None)
        self.is_done = False
        self._store = state.store
        serving.export = self.answer

    def answer(self, request: ExportRequest) -> ExportAnswer:
        if not self.is_done:
            return ExportAnswer(progress=self.progress)
        name = f"model-{request.quantization}.gguf" if request.quantization else "model.safetensors"
        key = export_manifest_key(request.export_id)
        self._store.put(sibling_key(key, name), CONTENT)
        file = ManifestFile(name=name, bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
        manifest = ExportManifest(
            format=request.format,
            quantization=request.quantization,
            weights_sha256=request.weights.digest,
            base_digest="b" * 64,
            files=[file],
        )
        body = manifest.model_dump_json().encode()
        self._store.put(key, body)
        result = export_of(body)
        progress = ExportProgress(done_bytes=result.bytes, total_bytes=result.bytes)
        return ExportAnswer(progress=progress, result=result)
