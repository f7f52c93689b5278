"""Makes each data report once. It is kept in the object store under a key that is a digest of everything that
affects it, beside the compiled form of the same file."""

import hashlib
import json
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from cluster.bases.resolve import template_digest, tokenizer_digest, tokenizer_folder
from cluster.bases.text.chat_template import template_text
from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import DataReport, DataReportRequest
from cluster.contracts.errors import NotFound, TuneryError
from cluster.data_checks.rules import RULES_VERSION
from cluster.storage.keys import report_key
from cluster.storage.store import ObjectStore
from cluster.training.data.compiled import fetch
from cluster.training.data.report_process import LocalFiles, report_on
from cluster.training.data.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)

REPORT_BYTES = 1 << 30
"""Maximum memory that making a report takes: an interpreter with its libraries, a tokenizer, and the rows
that are compared."""


def kept_report(request: DataReportRequest, store: ObjectStore) -> DataReport | None:
    """Returns the report if it was made before. Raises the errors of `make_report` except CorruptArtefact."""
    key = report_key(request.file.sha256, _digest(request))
    try:
        return DataReport.model_validate_json(store.get(key))
    except NotFound:
        return None
    except ValidationError as error:
        logger.warning("%s cannot be read and is made again: %s", key, error)
        return None


def make_report(request: DataReportRequest, store: ObjectStore) -> DataReport:
    """Makes the report and keeps it. Problems in the files are part of it.

    Raises CorruptArtefact if the stored bytes are not the expected ones, and the NotFound, Unavailable and
    InvalidConfiguration that storage and base raise."""
    store = store.encrypted_with(request.encryption_key)
    with tempfile.TemporaryDirectory() as folder:
        report = _report(request, store, Path(folder))
    key = report_key(request.file.sha256, _digest(request))
    try:
        store.put(key, report.model_dump_json().encode())
    except TuneryError as error:
        logger.warning("%s could not be kept, so it will be made again: %s", key, error)
    return report


def _report(request: DataReportRequest, store: ObjectStore, folder: Path) -> DataReport:
    training = fetch(store, request.file.key, request.file.sha256, folder)
    validation = None
    if request.validation is not None:
        validation = fetch(store, request.validation.key, request.validation.sha256, folder)
    return report_on(LocalFiles(training=training, validation=validation, base=request.base))


def _digest(request: DataReportRequest) -> str:
    validation = request.validation.sha256 if request.validation else None
    parts = [RULES_VERSION, validation, _tokens_digest(request.base) if request.base else None]
    if request.encryption_key is not None:
        # As with compiled files, projects share a report only if they share a key.
        parts.append(request.encryption_key)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _tokens_digest(base: BaseSpec) -> list[object]:
    return [
        base.alias,
        base.architecture,
        base.context_length,
        tokenizer_digest(tokenizer_folder(base)),
        template_digest(template_text(load_tokenizer(base))),
        # Other releases may tokenize the same text differently.
        version("tokenizers"),
        version("transformers"),
    ]
