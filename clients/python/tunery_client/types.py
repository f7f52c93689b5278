"""The objects that methods return, for annotations."""

from tunery_client._generated.models.chat_completion import ChatCompletion
from tunery_client._generated.models.chat_completion_chunk import ChatCompletionChunk
from tunery_client._generated.models.classification import Classification
from tunery_client._generated.models.completion import Completion
from tunery_client._generated.models.embedding_list import EmbeddingList
from tunery_client._generated.models.file_object import FileObject
from tunery_client._generated.models.file_report import FileReport
from tunery_client._generated.models.fine_tuning_job import FineTuningJob
from tunery_client._generated.models.fine_tuning_job_checkpoint import FineTuningJobCheckpoint
from tunery_client._generated.models.fine_tuning_job_estimate import FineTuningJobEstimate
from tunery_client._generated.models.fine_tuning_job_event import FineTuningJobEvent
from tunery_client._generated.models.fine_tuning_job_preview import FineTuningJobPreview
from tunery_client._generated.models.model_alias import ModelAlias
from tunery_client._generated.models.model_alias_change import ModelAliasChange
from tunery_client._generated.models.model_import import ModelImport
from tunery_client._generated.models.model_object import ModelObject

__all__ = [
    "ChatCompletion",
    "ChatCompletionChunk",
    "Classification",
    "Completion",
    "EmbeddingList",
    "FileObject",
    "FileReport",
    "FineTuningJob",
    "FineTuningJobCheckpoint",
    "FineTuningJobEstimate",
    "FineTuningJobEvent",
    "FineTuningJobPreview",
    "ModelAlias",
    "ModelAliasChange",
    "ModelImport",
    "ModelObject",
]
