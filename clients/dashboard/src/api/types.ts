/** Names for the schemas of `openapi/openapi.json`, which `npm run types` writes to `schema.d.ts`. */
import type { components } from './schema'

type Schemas = components['schemas']

export type Job = Schemas['FineTuningJob']
export type JobEvent = Schemas['FineTuningJobEvent']
export type Checkpoint = Schemas['FineTuningJobCheckpoint']
export type CreateJob = Schemas['CreateJobBody']
export type Estimate = Schemas['FineTuningJobEstimate']
export type Preview = Schemas['FineTuningJobPreview']
export type Evaluation = Schemas['Evaluation']
export type Provenance = Schemas['ModelProvenance']
export type FileObject = Schemas['FileObject']
export type FileReport = Schemas['FileReport']
export type Finding = Schemas['Finding']
export type Upload = Schemas['Upload']
export type UploadPart = Schemas['UploadPart']
export type Model = Schemas['ModelObject']
export type Alias = Schemas['ModelAlias']
export type AliasChange = Schemas['ModelAliasChange']
export type Export = Schemas['ModelExport']
export type Weights = Schemas['ModelWeights']
export type KeyUsage = Schemas['KeyUsage']
export type Project = Schemas['OrganizationProject']
export type ApiKey = Schemas['ProjectApiKey']
export type CreatedApiKey = Schemas['CreatedProjectApiKey']
export type AdminKey = Schemas['AdminApiKey']
export type CreatedAdminKey = Schemas['CreatedAdminApiKey']
export type ProjectLimits = Schemas['ProjectLimits']
export type ProjectRights = Schemas['ProjectRights']
export type OwnRights = Schemas['OwnRights']
export type Plan = Schemas['JobPlan']
export type Queue = Schemas['Queue']
export type UsagePage = Schemas['UsagePage']
export type Pools = Schemas['DevicePoolList']
export type ProjectRetention = Schemas['ProjectRetention']
export type ProjectEncryption = Schemas['ProjectEncryption']
export type Stored = Schemas['ProjectStorageList']
export type LegalHold = Schemas['LegalHold']
export type AuditEntry = Schemas['AuditLogEntry']
export type Maintenance = Schemas['PublicMaintenance']
export type Readiness = Schemas['ReadinessAnswer']

/** A page of a list. `data` of lists without pages is complete. */
export interface Page<T> {
  data: T[]
  has_more?: boolean
}
