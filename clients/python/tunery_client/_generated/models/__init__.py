"""Contains all the data models used in inputs/outputs"""

from .admin_api_key import AdminApiKey
from .admin_api_key_body import AdminApiKeyBody
from .admin_api_key_list import AdminApiKeyList
from .admin_api_key_owner import AdminApiKeyOwner
from .admin_api_keys_list_order import AdminApiKeysListOrder
from .alive import Alive
from .allowed_tools import AllowedTools
from .allowed_tools_definition import AllowedToolsDefinition
from .allowed_tools_definition_mode import AllowedToolsDefinitionMode
from .answered_call import AnsweredCall
from .api_error import ApiError
from .api_key_extension import ApiKeyExtension
from .api_key_extension_scopes_item import ApiKeyExtensionScopesItem
from .assistant_message import AssistantMessage
from .audit_key_actor import AuditKeyActor
from .audit_log_entry import AuditLogEntry
from .audit_log_list import AuditLogList
from .audit_logs_list_effective_at import AuditLogsListEffectiveAt
from .audit_session_actor import AuditSessionActor
from .audited_api_key import AuditedApiKey
from .audited_api_key_type import AuditedApiKeyType
from .audited_project import AuditedProject
from .audited_service_account import AuditedServiceAccount
from .audited_session import AuditedSession
from .audited_user import AuditedUser
from .auto import Auto
from .call_output import CallOutput
from .chat_answer_message import ChatAnswerMessage
from .chat_choice import ChatChoice
from .chat_chunk_choice import ChatChunkChoice
from .chat_completion import ChatCompletion
from .chat_completion_body import ChatCompletionBody
from .chat_completion_body_function_call_type_0 import (
    ChatCompletionBodyFunctionCallType0,
)
from .chat_completion_body_tool_choice_type_0 import ChatCompletionBodyToolChoiceType0
from .chat_completion_chunk import ChatCompletionChunk
from .chat_delta import ChatDelta
from .chat_delta_role_type_0 import ChatDeltaRoleType0
from .chat_finish_reason import ChatFinishReason
from .chat_logprobs import ChatLogprobs
from .chat_template_options import ChatTemplateOptions
from .chat_token_logprob import ChatTokenLogprob
from .chat_token_top import ChatTokenTop
from .checkpoint_metrics import CheckpointMetrics
from .checkpoint_permission import CheckpointPermission
from .checkpoint_permission_list import CheckpointPermissionList
from .checkpoint_permissions_body import CheckpointPermissionsBody
from .checkpoint_permissions_list_order import CheckpointPermissionsListOrder
from .class_scores import ClassScores
from .classification import Classification
from .classification_body import ClassificationBody
from .classifications_usage import ClassificationsUsage
from .classified_text import ClassifiedText
from .classified_word import ClassifiedWord
from .classified_words import ClassifiedWords
from .complete_upload_body import CompleteUploadBody
from .completion import Completion
from .completion_body import CompletionBody
from .completion_choice import CompletionChoice
from .completion_extension import CompletionExtension
from .completion_logprobs import CompletionLogprobs
from .completion_tokens_details import CompletionTokensDetails
from .completions_usage import CompletionsUsage
from .cost_amount import CostAmount
from .costs_result import CostsResult
from .costs_result_quantity_unit_type_0 import CostsResultQuantityUnitType0
from .create_job_body import CreateJobBody
from .create_job_extension import CreateJobExtension
from .create_job_extension_priority import CreateJobExtensionPriority
from .create_upload_body import CreateUploadBody
from .create_webhook_endpoint_body import CreateWebhookEndpointBody
from .created_admin_api_key import CreatedAdminApiKey
from .created_organization import CreatedOrganization
from .created_project_api_key import CreatedProjectApiKey
from .created_project_api_key_owner_project_access import (
    CreatedProjectApiKeyOwnerProjectAccess,
)
from .created_service_account import CreatedServiceAccount
from .deleted import Deleted
from .deleted_admin_api_key import DeletedAdminApiKey
from .deleted_alias import DeletedAlias
from .deleted_checkpoint_permission import DeletedCheckpointPermission
from .deleted_export import DeletedExport
from .deleted_object import DeletedObject
from .deleted_project import DeletedProject
from .deleted_project_api_key import DeletedProjectApiKey
from .deleted_project_rows import DeletedProjectRows
from .deleted_service_account import DeletedServiceAccount
from .deleted_webhook_endpoint import DeletedWebhookEndpoint
from .developer_message import DeveloperMessage
from .device_pool import DevicePool
from .device_pool_kind import DevicePoolKind
from .device_pool_list import DevicePoolList
from .differences import Differences
from .dpo import Dpo
from .dpo_body import DpoBody
from .dpo_hyperparameters_body import DpoHyperparametersBody
from .dpo_method import DpoMethod
from .dpo_method_body import DpoMethodBody
from .due_for_deletion import DueForDeletion
from .due_for_deletion_kind import DueForDeletionKind
from .due_for_deletion_list import DueForDeletionList
from .early_stopping import EarlyStopping
from .embedding import Embedding
from .embedding_body import EmbeddingBody
from .embedding_body_encoding_format_type_0 import EmbeddingBodyEncodingFormatType0
from .embedding_list import EmbeddingList
from .embeddings_usage import EmbeddingsUsage
from .error_answer import ErrorAnswer
from .estimated_price import EstimatedPrice
from .estimated_queue import EstimatedQueue
from .estimated_row import EstimatedRow
from .estimated_rows import EstimatedRows
from .estimated_time import EstimatedTime
from .estimated_tokens import EstimatedTokens
from .evaluation import Evaluation
from .evaluation_comparison import EvaluationComparison
from .expires_after import ExpiresAfter
from .export_error import ExportError
from .export_model_body import ExportModelBody
from .export_model_body_format import ExportModelBodyFormat
from .export_model_body_quantization_type_0 import ExportModelBodyQuantizationType0
from .exported_bytes import ExportedBytes
from .file_list import FileList
from .file_object import FileObject
from .file_object_status import FileObjectStatus
from .file_purpose import FilePurpose
from .file_report import FileReport
from .file_report_format_type_0 import FileReportFormatType0
from .file_report_status import FileReportStatus
from .file_upload import FileUpload
from .files_list_order import FilesListOrder
from .finding import Finding
from .finding_place import FindingPlace
from .finding_severity import FindingSeverity
from .fine_tuning_job import FineTuningJob
from .fine_tuning_job_checkpoint import FineTuningJobCheckpoint
from .fine_tuning_job_checkpoint_list import FineTuningJobCheckpointList
from .fine_tuning_job_cost import FineTuningJobCost
from .fine_tuning_job_estimate import FineTuningJobEstimate
from .fine_tuning_job_estimate_unknown import FineTuningJobEstimateUnknown
from .fine_tuning_job_event import FineTuningJobEvent
from .fine_tuning_job_event_level import FineTuningJobEventLevel
from .fine_tuning_job_event_list import FineTuningJobEventList
from .fine_tuning_job_event_type import FineTuningJobEventType
from .fine_tuning_job_list import FineTuningJobList
from .fine_tuning_job_preview import FineTuningJobPreview
from .fine_tuning_job_preview_format import FineTuningJobPreviewFormat
from .fine_tuning_job_status import FineTuningJobStatus
from .fine_tuning_jobs_list_metadata import FineTuningJobsListMetadata
from .fine_tuning_usage import FineTuningUsage
from .finish_reason import FinishReason
from .flat_json_schema_format import FlatJsonSchemaFormat
from .function_call import FunctionCall
from .function_call_delta import FunctionCallDelta
from .function_choice import FunctionChoice
from .function_choices import FunctionChoices
from .function_choices_mode import FunctionChoicesMode
from .function_definition import FunctionDefinition
from .function_message import FunctionMessage
from .function_tool import FunctionTool
from .grader_errors import GraderErrors
from .grader_extension import GraderExtension
from .grader_metadata import GraderMetadata
from .grader_metadata_scores import GraderMetadataScores
from .grader_run import GraderRun
from .grader_run_sub_rewards import GraderRunSubRewards
from .hyperparameters_body import HyperparametersBody
from .import_model_body import ImportModelBody
from .includable import Includable
from .incomplete_details import IncompleteDetails
from .input_message import InputMessage
from .input_message_role import InputMessageRole
from .input_text import InputText
from .input_tokens_details import InputTokensDetails
from .input_usage import InputUsage
from .item_list_legal_hold import ItemListLegalHold
from .item_status import ItemStatus
from .job_error import JobError
from .job_extension import JobExtension
from .job_extension_priority import JobExtensionPriority
from .job_integration import JobIntegration
from .job_integration_type import JobIntegrationType
from .job_plan import JobPlan
from .job_plan_activation_checkpointing import JobPlanActivationCheckpointing
from .job_plan_device_type_0 import JobPlanDeviceType0
from .job_plan_parallelism import JobPlanParallelism
from .job_plan_served_as_type_0 import JobPlanServedAsType0
from .job_progress import JobProgress
from .job_publishing import JobPublishing
from .job_queue import JobQueue
from .job_state import JobState
from .job_workers import JobWorkers
from .json_object import JsonObject
from .json_object_format import JsonObjectFormat
from .json_schema import JsonSchema
from .json_schema_definition import JsonSchemaDefinition
from .json_schema_format import JsonSchemaFormat
from .key_limits import KeyLimits
from .key_usage import KeyUsage
from .label_balance import LabelBalance
from .label_balance_kind import LabelBalanceKind
from .label_count import LabelCount
from .legal_hold import LegalHold
from .legal_hold_body import LegalHoldBody
from .legal_hold_resource_type import LegalHoldResourceType
from .length_bucket import LengthBucket
from .lengths import Lengths
from .lengths_unit import LengthsUnit
from .logit_bias import LogitBias
from .maintenance_body import MaintenanceBody
from .metadata import Metadata
from .mlflow_integration_body import MlflowIntegrationBody
from .mlflow_options import MlflowOptions
from .model_alias import ModelAlias
from .model_alias_change import ModelAliasChange
from .model_alias_history import ModelAliasHistory
from .model_alias_list import ModelAliasList
from .model_export import ModelExport
from .model_export_format import ModelExportFormat
from .model_export_list import ModelExportList
from .model_export_quantization_type_0 import ModelExportQuantizationType0
from .model_export_status import ModelExportStatus
from .model_extension import ModelExtension
from .model_extension_architecture_type_0 import ModelExtensionArchitectureType0
from .model_import import ModelImport
from .model_import_error import ModelImportError
from .model_import_list import ModelImportList
from .model_import_status import ModelImportStatus
from .model_list import ModelList
from .model_object import ModelObject
from .model_provenance import ModelProvenance
from .model_provenance_versions import ModelProvenanceVersions
from .model_response import ModelResponse
from .model_response_status import ModelResponseStatus
from .model_response_tool_choice_type_0 import ModelResponseToolChoiceType0
from .model_weights import ModelWeights
from .model_weights_form import ModelWeightsForm
from .models_weights_file_format import ModelsWeightsFileFormat
from .models_weights_file_quantization import ModelsWeightsFileQuantization
from .models_weights_format import ModelsWeightsFormat
from .models_weights_quantization import ModelsWeightsQuantization
from .multi_grader import MultiGrader
from .multi_grader_graders import MultiGraderGraders
from .named_function import NamedFunction
from .named_tool import NamedTool
from .organization_body import OrganizationBody
from .organization_limits import OrganizationLimits
from .organization_list import OrganizationList
from .organization_project import OrganizationProject
from .organization_project_list import OrganizationProjectList
from .organization_project_status import OrganizationProjectStatus
from .organization_retention import OrganizationRetention
from .output_call import OutputCall
from .output_message import OutputMessage
from .output_text import OutputText
from .output_tokens_details import OutputTokensDetails
from .overlength import Overlength
from .overlength_outcome import OverlengthOutcome
from .overlength_outcome_on_overlength import OverlengthOutcomeOnOverlength
from .own_rights import OwnRights
from .own_rights_methods_type_0_item import OwnRightsMethodsType0Item
from .own_rights_priorities_item import OwnRightsPrioritiesItem
from .own_rights_training_types_type_0_item import OwnRightsTrainingTypesType0Item
from .parity import Parity
from .part_upload import PartUpload
from .past_call import PastCall
from .past_reasoning import PastReasoning
from .past_text import PastText
from .planned_memory import PlannedMemory
from .preview_job_body import PreviewJobBody
from .preview_problem import PreviewProblem
from .previewed_row import PreviewedRow
from .previewed_row_outcome import PreviewedRowOutcome
from .previewed_sequence import PreviewedSequence
from .previewed_sequence_role import PreviewedSequenceRole
from .previewed_token import PreviewedToken
from .project_api_key import ProjectApiKey
from .project_api_key_body import ProjectApiKeyBody
from .project_api_key_body_scopes_item import ProjectApiKeyBodyScopesItem
from .project_api_key_list import ProjectApiKeyList
from .project_api_key_owner import ProjectApiKeyOwner
from .project_api_key_owner_project_access import ProjectApiKeyOwnerProjectAccess
from .project_api_key_owner_type_type_0 import ProjectApiKeyOwnerTypeType0
from .project_api_key_update_body import ProjectApiKeyUpdateBody
from .project_api_key_update_body_scopes_type_0_item import (
    ProjectApiKeyUpdateBodyScopesType0Item,
)
from .project_api_keys_list_owner_project_access import (
    ProjectApiKeysListOwnerProjectAccess,
)
from .project_body import ProjectBody
from .project_encryption import ProjectEncryption
from .project_encryption_body import ProjectEncryptionBody
from .project_limits import ProjectLimits
from .project_limits_max_priority import ProjectLimitsMaxPriority
from .project_rate_limit import ProjectRateLimit
from .project_rate_limit_list import ProjectRateLimitList
from .project_retention import ProjectRetention
from .project_rights import ProjectRights
from .project_rights_body import ProjectRightsBody
from .project_rights_body_methods_type_0_item import ProjectRightsBodyMethodsType0Item
from .project_rights_body_training_types_type_0_item import (
    ProjectRightsBodyTrainingTypesType0Item,
)
from .project_rights_methods_type_0_item import ProjectRightsMethodsType0Item
from .project_rights_training_types_type_0_item import (
    ProjectRightsTrainingTypesType0Item,
)
from .project_service_account import ProjectServiceAccount
from .project_service_account_list import ProjectServiceAccountList
from .project_storage import ProjectStorage
from .project_storage_list import ProjectStorageList
from .project_update_body import ProjectUpdateBody
from .prompt_tokens_details import PromptTokensDetails
from .public_maintenance import PublicMaintenance
from .public_organization import PublicOrganization
from .publish_fault import PublishFault
from .queue import Queue
from .queue_reason import QueueReason
from .queued_job import QueuedJob
from .queued_job_priority import QueuedJobPriority
from .readiness_answer import ReadinessAnswer
from .readiness_answer_parts import ReadinessAnswerParts
from .readiness_answer_status import ReadinessAnswerStatus
from .refusal_part import RefusalPart
from .reinforcement_method_body import ReinforcementMethodBody
from .released_legal_hold import ReleasedLegalHold
from .republish_body import RepublishBody
from .republish_body_gate import RepublishBodyGate
from .republish_body_regression import RepublishBodyRegression
from .resolved_dpo_hyperparameters import ResolvedDpoHyperparameters
from .resolved_hyperparameters import ResolvedHyperparameters
from .response_arguments_delta_event import ResponseArgumentsDeltaEvent
from .response_arguments_done_event import ResponseArgumentsDoneEvent
from .response_content_part_event import ResponseContentPartEvent
from .response_content_part_event_type import ResponseContentPartEventType
from .response_error_event import ResponseErrorEvent
from .response_failure import ResponseFailure
from .response_lifecycle_event import ResponseLifecycleEvent
from .response_lifecycle_event_type import ResponseLifecycleEventType
from .response_output_item_event import ResponseOutputItemEvent
from .response_output_item_event_type import ResponseOutputItemEventType
from .response_stream_options import ResponseStreamOptions
from .response_text_delta_event import ResponseTextDeltaEvent
from .response_text_done_event import ResponseTextDoneEvent
from .response_usage import ResponseUsage
from .responses_body import ResponsesBody
from .responses_body_tool_choice_type_0 import ResponsesBodyToolChoiceType0
from .retention_body import RetentionBody
from .retention_days_type_1 import RetentionDaysType1
from .retention_term import RetentionTerm
from .retention_term_days_type_1 import RetentionTermDaysType1
from .retention_term_set_by import RetentionTermSetBy
from .roll_back_body import RollBackBody
from .rotate_webhook_secret_body import RotateWebhookSecretBody
from .run_grader_body import RunGraderBody
from .sampled_check import SampledCheck
from .seconds_range import SecondsRange
from .service_account_body import ServiceAccountBody
from .service_account_body_scopes_item import ServiceAccountBodyScopesItem
from .service_account_key import ServiceAccountKey
from .service_account_key_body import ServiceAccountKeyBody
from .service_account_key_body_scopes_item import ServiceAccountKeyBodyScopesItem
from .service_account_owner import ServiceAccountOwner
from .service_account_update_body import ServiceAccountUpdateBody
from .set_alias_body import SetAliasBody
from .stored_kind import StoredKind
from .stream_options import StreamOptions
from .string_check_grader import StringCheckGrader
from .string_check_grader_operation import StringCheckGraderOperation
from .supervised import Supervised
from .supervised_body import SupervisedBody
from .supervised_method import SupervisedMethod
from .supervised_method_body import SupervisedMethodBody
from .system_message import SystemMessage
from .tensorboard_integration_body import TensorboardIntegrationBody
from .test_webhook_body import TestWebhookBody
from .text_format import TextFormat
from .text_pair import TextPair
from .text_part import TextPart
from .text_settings import TextSettings
from .text_similarity_grader import TextSimilarityGrader
from .text_similarity_grader_evaluation_metric import (
    TextSimilarityGraderEvaluationMetric,
)
from .tool import Tool
from .tool_call import ToolCall
from .tool_call_delta import ToolCallDelta
from .tool_call_delta_type_type_0 import ToolCallDeltaTypeType0
from .tool_message import ToolMessage
from .top_logprobs import TopLogprobs
from .trackio_integration_body import TrackioIntegrationBody
from .trackio_options import TrackioOptions
from .training_options import TrainingOptions
from .training_options_activation_checkpointing import (
    TrainingOptionsActivationCheckpointing,
)
from .training_options_num_workers_type_0 import TrainingOptionsNumWorkersType0
from .training_options_on_overlength import TrainingOptionsOnOverlength
from .training_options_optimizer import TrainingOptionsOptimizer
from .training_options_parallelism import TrainingOptionsParallelism
from .training_options_peft_config_type_0 import TrainingOptionsPeftConfigType0
from .training_options_target_modules_type_0 import TrainingOptionsTargetModulesType0
from .training_options_type import TrainingOptionsType
from .update_key_limits_body import UpdateKeyLimitsBody
from .update_organization_limits_body import UpdateOrganizationLimitsBody
from .update_pool_body import UpdatePoolBody
from .update_priority_body import UpdatePriorityBody
from .update_priority_body_priority import UpdatePriorityBodyPriority
from .update_project_limits_body import UpdateProjectLimitsBody
from .update_project_limits_body_max_priority_type_0 import (
    UpdateProjectLimitsBodyMaxPriorityType0,
)
from .update_rate_limit_body import UpdateRateLimitBody
from .update_webhook_endpoint_body import UpdateWebhookEndpointBody
from .upload import Upload
from .upload_part import UploadPart
from .upload_purpose import UploadPurpose
from .upload_status import UploadStatus
from .usage import Usage
from .usage_bucket import UsageBucket
from .usage_classifications_bucket_width import UsageClassificationsBucketWidth
from .usage_completions_bucket_width import UsageCompletionsBucketWidth
from .usage_embeddings_bucket_width import UsageEmbeddingsBucketWidth
from .usage_fine_tuning_bucket_width import UsageFineTuningBucketWidth
from .usage_list import UsageList
from .usage_page import UsagePage
from .used_by_key import UsedByKey
from .used_by_organization import UsedByOrganization
from .used_by_project import UsedByProject
from .user_message import UserMessage
from .validate_grader_body import ValidateGraderBody
from .validated_grader import ValidatedGrader
from .wandb_integration import WandbIntegration
from .wandb_integration_body import WandbIntegrationBody
from .wandb_options import WandbOptions
from .wandb_run_options import WandbRunOptions
from .webhook_delivery import WebhookDelivery
from .webhook_delivery_list import WebhookDeliveryList
from .webhook_delivery_status import WebhookDeliveryStatus
from .webhook_endpoint import WebhookEndpoint
from .webhook_endpoint_extension import WebhookEndpointExtension
from .webhook_endpoint_extension_status import WebhookEndpointExtensionStatus
from .webhook_endpoint_list import WebhookEndpointList
from .webhook_endpoint_test_result import WebhookEndpointTestResult
from .webhook_endpoint_with_secret import WebhookEndpointWithSecret
from .webhook_event_type import WebhookEventType
from .webhook_event_type_list import WebhookEventTypeList
from .weights_file_object import WeightsFileObject
from .worker_range import WorkerRange
from .workers_plan import WorkersPlan
from .workers_plan_activation_checkpointing import WorkersPlanActivationCheckpointing
from .workers_plan_parallelism import WorkersPlanParallelism

__all__ = (
    "AdminApiKey",
    "AdminApiKeyBody",
    "AdminApiKeyList",
    "AdminApiKeyOwner",
    "AdminApiKeysListOrder",
    "Alive",
    "AllowedTools",
    "AllowedToolsDefinition",
    "AllowedToolsDefinitionMode",
    "AnsweredCall",
    "ApiError",
    "ApiKeyExtension",
    "ApiKeyExtensionScopesItem",
    "AssistantMessage",
    "AuditedApiKey",
    "AuditedApiKeyType",
    "AuditedProject",
    "AuditedServiceAccount",
    "AuditedSession",
    "AuditedUser",
    "AuditKeyActor",
    "AuditLogEntry",
    "AuditLogList",
    "AuditLogsListEffectiveAt",
    "AuditSessionActor",
    "Auto",
    "CallOutput",
    "ChatAnswerMessage",
    "ChatChoice",
    "ChatChunkChoice",
    "ChatCompletion",
    "ChatCompletionBody",
    "ChatCompletionBodyFunctionCallType0",
    "ChatCompletionBodyToolChoiceType0",
    "ChatCompletionChunk",
    "ChatDelta",
    "ChatDeltaRoleType0",
    "ChatFinishReason",
    "ChatLogprobs",
    "ChatTemplateOptions",
    "ChatTokenLogprob",
    "ChatTokenTop",
    "CheckpointMetrics",
    "CheckpointPermission",
    "CheckpointPermissionList",
    "CheckpointPermissionsBody",
    "CheckpointPermissionsListOrder",
    "Classification",
    "ClassificationBody",
    "ClassificationsUsage",
    "ClassifiedText",
    "ClassifiedWord",
    "ClassifiedWords",
    "ClassScores",
    "CompleteUploadBody",
    "Completion",
    "CompletionBody",
    "CompletionChoice",
    "CompletionExtension",
    "CompletionLogprobs",
    "CompletionsUsage",
    "CompletionTokensDetails",
    "CostAmount",
    "CostsResult",
    "CostsResultQuantityUnitType0",
    "CreatedAdminApiKey",
    "CreatedOrganization",
    "CreatedProjectApiKey",
    "CreatedProjectApiKeyOwnerProjectAccess",
    "CreatedServiceAccount",
    "CreateJobBody",
    "CreateJobExtension",
    "CreateJobExtensionPriority",
    "CreateUploadBody",
    "CreateWebhookEndpointBody",
    "Deleted",
    "DeletedAdminApiKey",
    "DeletedAlias",
    "DeletedCheckpointPermission",
    "DeletedExport",
    "DeletedObject",
    "DeletedProject",
    "DeletedProjectApiKey",
    "DeletedProjectRows",
    "DeletedServiceAccount",
    "DeletedWebhookEndpoint",
    "DeveloperMessage",
    "DevicePool",
    "DevicePoolKind",
    "DevicePoolList",
    "Differences",
    "Dpo",
    "DpoBody",
    "DpoHyperparametersBody",
    "DpoMethod",
    "DpoMethodBody",
    "DueForDeletion",
    "DueForDeletionKind",
    "DueForDeletionList",
    "EarlyStopping",
    "Embedding",
    "EmbeddingBody",
    "EmbeddingBodyEncodingFormatType0",
    "EmbeddingList",
    "EmbeddingsUsage",
    "ErrorAnswer",
    "EstimatedPrice",
    "EstimatedQueue",
    "EstimatedRow",
    "EstimatedRows",
    "EstimatedTime",
    "EstimatedTokens",
    "Evaluation",
    "EvaluationComparison",
    "ExpiresAfter",
    "ExportedBytes",
    "ExportError",
    "ExportModelBody",
    "ExportModelBodyFormat",
    "ExportModelBodyQuantizationType0",
    "FileList",
    "FileObject",
    "FileObjectStatus",
    "FilePurpose",
    "FileReport",
    "FileReportFormatType0",
    "FileReportStatus",
    "FilesListOrder",
    "FileUpload",
    "Finding",
    "FindingPlace",
    "FindingSeverity",
    "FineTuningJob",
    "FineTuningJobCheckpoint",
    "FineTuningJobCheckpointList",
    "FineTuningJobCost",
    "FineTuningJobEstimate",
    "FineTuningJobEstimateUnknown",
    "FineTuningJobEvent",
    "FineTuningJobEventLevel",
    "FineTuningJobEventList",
    "FineTuningJobEventType",
    "FineTuningJobList",
    "FineTuningJobPreview",
    "FineTuningJobPreviewFormat",
    "FineTuningJobsListMetadata",
    "FineTuningJobStatus",
    "FineTuningUsage",
    "FinishReason",
    "FlatJsonSchemaFormat",
    "FunctionCall",
    "FunctionCallDelta",
    "FunctionChoice",
    "FunctionChoices",
    "FunctionChoicesMode",
    "FunctionDefinition",
    "FunctionMessage",
    "FunctionTool",
    "GraderErrors",
    "GraderExtension",
    "GraderMetadata",
    "GraderMetadataScores",
    "GraderRun",
    "GraderRunSubRewards",
    "HyperparametersBody",
    "ImportModelBody",
    "Includable",
    "IncompleteDetails",
    "InputMessage",
    "InputMessageRole",
    "InputText",
    "InputTokensDetails",
    "InputUsage",
    "ItemListLegalHold",
    "ItemStatus",
    "JobError",
    "JobExtension",
    "JobExtensionPriority",
    "JobIntegration",
    "JobIntegrationType",
    "JobPlan",
    "JobPlanActivationCheckpointing",
    "JobPlanDeviceType0",
    "JobPlanParallelism",
    "JobPlanServedAsType0",
    "JobProgress",
    "JobPublishing",
    "JobQueue",
    "JobState",
    "JobWorkers",
    "JsonObject",
    "JsonObjectFormat",
    "JsonSchema",
    "JsonSchemaDefinition",
    "JsonSchemaFormat",
    "KeyLimits",
    "KeyUsage",
    "LabelBalance",
    "LabelBalanceKind",
    "LabelCount",
    "LegalHold",
    "LegalHoldBody",
    "LegalHoldResourceType",
    "LengthBucket",
    "Lengths",
    "LengthsUnit",
    "LogitBias",
    "MaintenanceBody",
    "Metadata",
    "MlflowIntegrationBody",
    "MlflowOptions",
    "ModelAlias",
    "ModelAliasChange",
    "ModelAliasHistory",
    "ModelAliasList",
    "ModelExport",
    "ModelExportFormat",
    "ModelExportList",
    "ModelExportQuantizationType0",
    "ModelExportStatus",
    "ModelExtension",
    "ModelExtensionArchitectureType0",
    "ModelImport",
    "ModelImportError",
    "ModelImportList",
    "ModelImportStatus",
    "ModelList",
    "ModelObject",
    "ModelProvenance",
    "ModelProvenanceVersions",
    "ModelResponse",
    "ModelResponseStatus",
    "ModelResponseToolChoiceType0",
    "ModelsWeightsFileFormat",
    "ModelsWeightsFileQuantization",
    "ModelsWeightsFormat",
    "ModelsWeightsQuantization",
    "ModelWeights",
    "ModelWeightsForm",
    "MultiGrader",
    "MultiGraderGraders",
    "NamedFunction",
    "NamedTool",
    "OrganizationBody",
    "OrganizationLimits",
    "OrganizationList",
    "OrganizationProject",
    "OrganizationProjectList",
    "OrganizationProjectStatus",
    "OrganizationRetention",
    "OutputCall",
    "OutputMessage",
    "OutputText",
    "OutputTokensDetails",
    "Overlength",
    "OverlengthOutcome",
    "OverlengthOutcomeOnOverlength",
    "OwnRights",
    "OwnRightsMethodsType0Item",
    "OwnRightsPrioritiesItem",
    "OwnRightsTrainingTypesType0Item",
    "Parity",
    "PartUpload",
    "PastCall",
    "PastReasoning",
    "PastText",
    "PlannedMemory",
    "PreviewedRow",
    "PreviewedRowOutcome",
    "PreviewedSequence",
    "PreviewedSequenceRole",
    "PreviewedToken",
    "PreviewJobBody",
    "PreviewProblem",
    "ProjectApiKey",
    "ProjectApiKeyBody",
    "ProjectApiKeyBodyScopesItem",
    "ProjectApiKeyList",
    "ProjectApiKeyOwner",
    "ProjectApiKeyOwnerProjectAccess",
    "ProjectApiKeyOwnerTypeType0",
    "ProjectApiKeysListOwnerProjectAccess",
    "ProjectApiKeyUpdateBody",
    "ProjectApiKeyUpdateBodyScopesType0Item",
    "ProjectBody",
    "ProjectEncryption",
    "ProjectEncryptionBody",
    "ProjectLimits",
    "ProjectLimitsMaxPriority",
    "ProjectRateLimit",
    "ProjectRateLimitList",
    "ProjectRetention",
    "ProjectRights",
    "ProjectRightsBody",
    "ProjectRightsBodyMethodsType0Item",
    "ProjectRightsBodyTrainingTypesType0Item",
    "ProjectRightsMethodsType0Item",
    "ProjectRightsTrainingTypesType0Item",
    "ProjectServiceAccount",
    "ProjectServiceAccountList",
    "ProjectStorage",
    "ProjectStorageList",
    "ProjectUpdateBody",
    "PromptTokensDetails",
    "PublicMaintenance",
    "PublicOrganization",
    "PublishFault",
    "Queue",
    "QueuedJob",
    "QueuedJobPriority",
    "QueueReason",
    "ReadinessAnswer",
    "ReadinessAnswerParts",
    "ReadinessAnswerStatus",
    "RefusalPart",
    "ReinforcementMethodBody",
    "ReleasedLegalHold",
    "RepublishBody",
    "RepublishBodyGate",
    "RepublishBodyRegression",
    "ResolvedDpoHyperparameters",
    "ResolvedHyperparameters",
    "ResponseArgumentsDeltaEvent",
    "ResponseArgumentsDoneEvent",
    "ResponseContentPartEvent",
    "ResponseContentPartEventType",
    "ResponseErrorEvent",
    "ResponseFailure",
    "ResponseLifecycleEvent",
    "ResponseLifecycleEventType",
    "ResponseOutputItemEvent",
    "ResponseOutputItemEventType",
    "ResponsesBody",
    "ResponsesBodyToolChoiceType0",
    "ResponseStreamOptions",
    "ResponseTextDeltaEvent",
    "ResponseTextDoneEvent",
    "ResponseUsage",
    "RetentionBody",
    "RetentionDaysType1",
    "RetentionTerm",
    "RetentionTermDaysType1",
    "RetentionTermSetBy",
    "RollBackBody",
    "RotateWebhookSecretBody",
    "RunGraderBody",
    "SampledCheck",
    "SecondsRange",
    "ServiceAccountBody",
    "ServiceAccountBodyScopesItem",
    "ServiceAccountKey",
    "ServiceAccountKeyBody",
    "ServiceAccountKeyBodyScopesItem",
    "ServiceAccountOwner",
    "ServiceAccountUpdateBody",
    "SetAliasBody",
    "StoredKind",
    "StreamOptions",
    "StringCheckGrader",
    "StringCheckGraderOperation",
    "Supervised",
    "SupervisedBody",
    "SupervisedMethod",
    "SupervisedMethodBody",
    "SystemMessage",
    "TensorboardIntegrationBody",
    "TestWebhookBody",
    "TextFormat",
    "TextPair",
    "TextPart",
    "TextSettings",
    "TextSimilarityGrader",
    "TextSimilarityGraderEvaluationMetric",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolCallDeltaTypeType0",
    "ToolMessage",
    "TopLogprobs",
    "TrackioIntegrationBody",
    "TrackioOptions",
    "TrainingOptions",
    "TrainingOptionsActivationCheckpointing",
    "TrainingOptionsNumWorkersType0",
    "TrainingOptionsOnOverlength",
    "TrainingOptionsOptimizer",
    "TrainingOptionsParallelism",
    "TrainingOptionsPeftConfigType0",
    "TrainingOptionsTargetModulesType0",
    "TrainingOptionsType",
    "UpdateKeyLimitsBody",
    "UpdateOrganizationLimitsBody",
    "UpdatePoolBody",
    "UpdatePriorityBody",
    "UpdatePriorityBodyPriority",
    "UpdateProjectLimitsBody",
    "UpdateProjectLimitsBodyMaxPriorityType0",
    "UpdateRateLimitBody",
    "UpdateWebhookEndpointBody",
    "Upload",
    "UploadPart",
    "UploadPurpose",
    "UploadStatus",
    "Usage",
    "UsageBucket",
    "UsageClassificationsBucketWidth",
    "UsageCompletionsBucketWidth",
    "UsageEmbeddingsBucketWidth",
    "UsageFineTuningBucketWidth",
    "UsageList",
    "UsagePage",
    "UsedByKey",
    "UsedByOrganization",
    "UsedByProject",
    "UserMessage",
    "ValidatedGrader",
    "ValidateGraderBody",
    "WandbIntegration",
    "WandbIntegrationBody",
    "WandbOptions",
    "WandbRunOptions",
    "WebhookDelivery",
    "WebhookDeliveryList",
    "WebhookDeliveryStatus",
    "WebhookEndpoint",
    "WebhookEndpointExtension",
    "WebhookEndpointExtensionStatus",
    "WebhookEndpointList",
    "WebhookEndpointTestResult",
    "WebhookEndpointWithSecret",
    "WebhookEventType",
    "WebhookEventTypeList",
    "WeightsFileObject",
    "WorkerRange",
    "WorkersPlan",
    "WorkersPlanActivationCheckpointing",
    "WorkersPlanParallelism",
)
