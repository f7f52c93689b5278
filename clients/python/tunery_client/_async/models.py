"""`tunery.models`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tunery_client._async.files import AsyncFiles
from tunery_client._async.transport import AsyncResource
from tunery_client._generated.api.exports import exports_retrieve
from tunery_client._generated.api.models import (
    models_delete,
    models_import_retrieve,
    models_list,
    models_retrieve,
)
from tunery_client._generated.models.model_export import ModelExport
from tunery_client._generated.models.model_import import ModelImport
from tunery_client._generated.models.model_object import ModelObject
from tunery_client._generated.models.model_weights import ModelWeights
from tunery_client.answers import answer, raise_if_failed
from tunery_client.concurrency import sleep_async
from tunery_client.downloading import PartialFile
from tunery_client.errors import ConnectionFailed, connection
from tunery_client.paths import segment

Format = Literal["original", "merged", "gguf"]
Quantization = Literal["f16", "bf16", "q8_0"]
OnProgress = Callable[[int, int], object] | None
"""Takes how many bytes have arrived, and of how many."""

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_POLL_SECONDS = 1.0
_TRIES = 5
"""How often a connection may break in succession without a byte in between."""


class AsyncModels(AsyncResource):
    async def retrieve(self, model: str) -> ModelObject:
        return answer(await models_retrieve.asyncio(model, client=self._client))

    async def delete(self, model: str) -> None:
        answer(await models_delete.asyncio(model, client=self._client))

    async def download(
        self,
        model: str,
        folder: str | Path,
        *,
        format: Format = "original",
        quantization: Quantization | None = None,
        on_progress: OnProgress = None,
        overwrite: bool = False,
    ) -> Sequence[Path]:
        """Downloads a tuned model's weights into `folder`, checks their SHA-256, and returns the files. Call
        it again to resume: files that are there are kept. If one has other content, TargetExists is raised
        before anything is downloaded, or with `overwrite` it is replaced.

        `original` is a folder for PEFT, or for transformers after a full fine-tune. `merged` is one for
        transformers, and `gguf` files for llama.cpp; both are exported first, which may take minutes. Raises
        ConnectionFailed if the connection breaks again and again, and CorruptDownload."""
        query: dict[str, str] = {"format": format}
        if quantization:
            query["quantization"] = quantization
        path = f"/v1/models/{segment(model)}/weights"
        if format != "original":
            original = ModelWeights.from_dict((await self._http.get(path)).json())
            if format == "merged" and original.form == "full":
                query = {}
            else:
                await self._exported(model, format, quantization)
        weights = ModelWeights.from_dict((await self._http.get(path, params=query)).json())
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrived = 0

        def advance(count: int) -> None:
            nonlocal arrived
            arrived += count
            if on_progress is not None:
                on_progress(arrived, weights.bytes_)

        parts = [
            PartialFile(folder, file.filename, file.bytes_, file.sha256, advance, overwrite=overwrite)
            for file in weights.files
        ]
        for part in parts:
            await self._download(f"{path}/{part.target.name}", query, part)
        return [part.target for part in parts]

    async def import_adapter(
        self, folder: str | Path, *, base: str, suffix: str | None = None
    ) -> ModelImport:
        """Imports a folder that PEFT has saved, as a model of the project, and waits until the server has
        checked it. Check its `status`: if it is `failed`, `error` says why."""
        files = AsyncFiles(self._client)
        ids = [(await files.upload(Path(folder) / name, purpose="user_data")).id for name in _ADAPTER_FILES]
        body = {"base": base, "files": ids, **({"suffix": suffix} if suffix else {})}
        found = ModelImport.from_dict(await self._post("/v1/models/import", body))
        while found.status == "validating":
            await sleep_async(_POLL_SECONDS)
            found = answer(await models_import_retrieve.asyncio(found.id, client=self._client))
        return found

    async def _exported(self, model: str, format: str, quantization: str | None) -> None:
        body: dict[str, Any] = {"format": format}
        if quantization:
            body["quantization"] = quantization
        path = f"/v1/models/{segment(model)}/exports"
        # An export that exists is returned instead of a new one.
        export = ModelExport.from_dict(await self._post(path, body, is_repeatable=True))
        while export.status in ("queued", "running"):
            await sleep_async(_POLL_SECONDS)
            export = answer(await exports_retrieve.asyncio(export.id, client=self._client))
        raise_if_failed(export)

    async def _download(self, path: str, query: dict[str, str], part: PartialFile) -> None:
        broken = 0
        while not part.finish():
            before, failed = part.arrived(), ConnectionFailed("The server sends no more bytes.")
            try:
                with connection():
                    async with self._http.stream("GET", path, params=query, headers=part.headers) as response:
                        part.begin(response)
                        async for chunk in response.aiter_raw():
                            part.take(chunk)
            except ConnectionFailed as error:
                failed = error
            broken = 0 if part.arrived() > before else broken + 1
            if broken == _TRIES:
                raise failed

    async def list(self) -> Sequence[ModelObject]:
        """Returns the server's base models and the project's tuned models."""
        return answer(await models_list.asyncio(client=self._client)).data
