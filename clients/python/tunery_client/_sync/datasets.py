"""`tunery.datasets`: what is wrong with training data."""

from __future__ import annotations

from pathlib import Path

from tunery_client._generated.api.files import files_report
from tunery_client._generated.models.file_report import FileReport
from tunery_client._generated.types import UNSET
from tunery_client._sync.files import Files
from tunery_client._sync.transport import Resource
from tunery_client.answers import answer
from tunery_client.concurrency import sleep

_POLL_SECONDS = 1.0


class Datasets(Resource):
    def check(
        self,
        path: str | Path,
        *,
        validation_path: str | Path | None = None,
        model: str | None = None,
    ) -> FileReport:
        """Lists all problems of a training file by kind, with lines and columns: `errors` keep it from being
        used, `warnings` never do. With `model`, lengths are in its tokens. Nothing stays on the server."""
        files = Files(self._client)
        uploaded = [(files.upload(path)).id]
        try:
            if validation_path is not None:
                uploaded.append((files.upload(validation_path)).id)
            validation = uploaded[1] if len(uploaded) > 1 else None
            return self.report(uploaded[0], validation_file=validation, model=model)
        finally:
            for file_id in uploaded:
                files.delete(file_id)

    def report(
        self, file_id: str, *, validation_file: str | None = None, model: str | None = None
    ) -> FileReport:
        """The report on an uploaded file. Waits until the server has made it."""
        while True:
            report = answer(
                files_report.sync(
                    file_id,
                    client=self._client,
                    validation_file=validation_file or UNSET,
                    model=model or UNSET,
                )
            )
            if report.status == "completed":
                return report
            sleep(_POLL_SECONDS)
