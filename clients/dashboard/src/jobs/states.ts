/** What the states of a job mean to whoever waits for it. */
import type { Job, Plan } from '../api/types'
import { clock, count } from '../design/formats'

export type State = Job['tunery']['state']

const ENDED: State[] = ['succeeded', 'failed', 'cancelled']
const WORDS: Record<State, [name: string, tone: string, meaning: string]> = {
  validating_files: ['Checking files', 'active', 'Its files are read, tokenized and counted.'],
  queued: ['Queued', 'warn', 'It waits until its devices are free.'],
  starting: ['Starting', 'active', 'Its devices are reserved, and its workers start.'],
  running: ['Running', 'active', ''],
  publishing: ['Publishing', 'active', 'Its weights are stored. They are checked in the serving engine before anyone can use them.'],
  pausing: ['Pausing', 'warn', 'It saves a checkpoint, and then frees its devices.'],
  paused: ['Paused', 'warn', 'It holds no devices. Resume it to go on from its last checkpoint.'],
  succeeded: ['Succeeded', 'good', ''],
  failed: ['Failed', 'bad', ''],
  cancelled: ['Cancelled', '', 'It was cancelled. Its checkpoints stay usable.'],
}

export const hasEnded = (job: Job): boolean => ENDED.includes(job.tunery.state)
export const nameOf = (state: State): string => WORDS[state]?.[0] ?? state
export const toneOf = (state: State): string => WORDS[state]?.[1] ?? ''

/** What the job waits for, or does meanwhile. */
export function meaningOf(job: Job): string {
  const { state, queue } = job.tunery
  if (!queue) return WORDS[state]?.[2] ?? ''
  if (queue.retry_at) return `After a fault, it is tried again at ${clock(queue.retry_at)}.`
  const start = queue.estimated_start ? ` It should start at about ${clock(queue.estimated_start)}.` : ''
  return `Number ${count(queue.position)} of all projects. ${queue.message}${start}`
}

export const canPause = (job: Job): boolean => ['queued', 'starting', 'running'].includes(job.tunery.state)
export const canResume = (job: Job): boolean => job.tunery.state === 'paused'
export const canCancel = (job: Job): boolean => !hasEnded(job)

/** Seconds that its last attempt took, without its wait for devices; of a job without a cost, since it was created. */
export function tookOf(job: Job): number | null {
  return job.tunery.cost?.seconds ?? (job.finished_at ? job.finished_at - job.created_at : null)
}

/** Where and how it runs: 2 cuda of pool h100, fsdp */
export const placeOf = (plan: Plan): string =>
  `${plan.num_workers} ${plan.device ?? (plan.num_workers === 1 ? 'device' : 'devices')}${plan.pool ? ` of pool ${plan.pool}` : ''}, ${plan.parallelism}`

/** A name people recognize: the suffix they gave, or the id. */
export const titleOf = (job: Job): string => job.user_provided_suffix ?? job.id
