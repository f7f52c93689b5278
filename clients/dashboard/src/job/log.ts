/** A job's log as columns for charts. Pure. */
import type { JobEvent } from '../api/types'
import type { Band } from '../design/Chart.svelte'

export interface Log {
  steps: number[]
  /** By metric; each as long as `steps`, null where nothing was measured. */
  columns: Record<string, (number | null)[]>
  /** The attempt that took each step; null if the log does not say. */
  attempts: (number | null)[]
  messages: JobEvent[]
}

export const EMPTY: Log = { steps: [], columns: {}, attempts: [], messages: [] }

const SHOWN = [
  'train_loss',
  'valid_loss',
  'full_valid_loss',
  'learning_rate',
  'grad_norm',
  'tokens_per_second',
  'train_mean_token_accuracy',
  'full_valid_mean_token_accuracy',
  'reward_margin',
]

/** The log with later events, which are in order. */
export function extended(log: Log, events: JobEvent[]): Log {
  const steps = [...log.steps]
  const attempts = [...log.attempts]
  const columns = Object.fromEntries(SHOWN.map((name) => [name, [...(log.columns[name] ?? [])]]))
  for (const { type, data } of events) {
    const step = data['step']
    if (type !== 'metrics' || typeof step !== 'number' || step <= (steps.at(-1) ?? -1)) continue
    steps.push(step)
    attempts.push(typeof data['attempt'] === 'number' ? data['attempt'] : null)
    for (const name of SHOWN) columns[name]!.push(typeof data[name] === 'number' ? data[name] : null)
  }
  return { steps, attempts, columns, messages: [...log.messages, ...events.filter((event) => event.type !== 'metrics')] }
}

/** Which steps each attempt took. */
export function bandsOf({ steps, attempts }: Log): Band[] {
  const bands: Band[] = []
  let last: number | null = null
  steps.forEach((step, place) => {
    const attempt = attempts[place] ?? last ?? 1
    const band = bands.at(-1)
    if (band && attempt === last) band.to = step
    else bands.push({ label: `Attempt ${attempt}`, from: band ? band.to : step, to: step })
    last = attempt
  })
  return bands
}

export const has = (log: Log, name: string): boolean => log.columns[name]?.some((value) => value !== null) ?? false
