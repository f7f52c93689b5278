/** A job's request as programs make it. */
import { apiRoot } from '../api/client'
import type { CreateJob, Job } from '../api/types'

/** Defaults of `TrainingOptions`. A browser test compares them with the API's. */
const DEFAULTS: Record<string, unknown> = {
  type: 'lora',
  r: 16,
  alpha: 32,
  dropout: 0,
  target_modules: 'all-linear',
  use_rslora: false,
  use_dora: false,
  on_overlength: 'error',
  num_workers: 'auto',
  parallelism: 'auto',
  packing: true,
  activation_checkpointing: 'auto',
  optimizer: 'adamw',
  compile: false,
  restore_optimizer: false,
  allow_changed_base: false,
  validation_split: 0,
}

/** The request that creates the same job again, without what has a default anyway. */
export function requestOf(job: Job): CreateJob {
  const training = Object.fromEntries(
    Object.entries(job.tunery.training).filter(([name, value]) => value !== null && value !== DEFAULTS[name]),
  )
  const request: Record<string, unknown> = { model: job.model, training_file: job.training_file }
  if (job.validation_file) request['validation_file'] = job.validation_file
  if (job.user_provided_suffix) request['suffix'] = job.user_provided_suffix
  request['seed'] = job.seed
  request['method'] = job.method
  if (job.metadata && Object.keys(job.metadata).length) request['metadata'] = job.metadata
  if (Object.keys(training).length) request['training'] = training
  if (job.tunery.priority !== 'normal') request['tunery'] = { priority: job.tunery.priority }
  return request as CreateJob
}

export function asCurl(request: CreateJob): string {
  const body = inJson(request, 2).replaceAll("'", "'\\''")
  return [
    `curl ${apiRoot()}/fine_tuning/jobs \\`,
    '  -H "Authorization: Bearer $TUNERY_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${body}'`,
  ].join('\n')
}

/** For the command line of Tunery, which asks before it starts the job. */
export function asCommand(request: CreateJob): string {
  const { method, metadata, training, tunery } = request as unknown as {
    method: { type: string } & Record<string, { hyperparameters?: Record<string, unknown> }>
    metadata?: Record<string, string>
    training?: Record<string, unknown>
    tunery?: { priority: string }
  }
  const numbers = Object.entries(method[method.type]?.hyperparameters ?? {}).filter(([, value]) => value !== 'auto')
  const options: [string, unknown][] = [
    ['model', request.model],
    ['validation', request.validation_file],
    ['suffix', request.suffix],
    ['seed', request.seed],
    ['priority', tunery?.priority],
    ['method', method.type],
    ...numbers.map(([name, value]): [string, unknown] => [name === 'n_epochs' ? 'epochs' : name.replaceAll('_', '-'), value]),
    ...Object.entries(training ?? {}).map(([name, value]): [string, unknown] => ['training', `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`]),
    ...Object.entries(metadata ?? {}).map(([name, value]): [string, unknown] => ['metadata', `${name}=${value}`]),
  ]
  const lines = options.filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => `--${name}=${quoted(String(value))}`)
  return [`tunery run ${quoted(request.training_file)} --base-url ${quoted(apiRoot())}`, ...lines].join(' \\\n  ')
}

/** Characters that a terminal obeys rather than shows, or that reorder or hide others. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u
const EACH_UNSEEN = new RegExp(UNSEEN, 'gu')

/** For a shell. `$'…'` is of bash, zsh and POSIX of 2024. */
function quoted(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  if (!UNSEEN.test(text)) return `'${text.replaceAll("'", "'\\''")}'`
  const octal = (byte: number) => `\\${byte.toString(8).padStart(3, '0')}`
  // With the quote, the backslash and bash's history as bytes too, nothing within has a meaning of its own.
  const shown = Array.from(text, (char) => (UNSEEN.test(char) || /['\\!]/.test(char) ? [...new TextEncoder().encode(char)].map(octal).join('') : char))
  return `$'${shown.join('')}'`
}

/** JSON itself leaves some of them as they are. Newlines are between values: those within are escaped. */
function inJson(value: unknown, indent?: number): string {
  const escaped = (char: string) => char.split('').map((unit) => `\\u${hex(unit.charCodeAt(0), 4)}`).join('')
  return JSON.stringify(value, null, indent).replace(EACH_UNSEEN, (char) => (char === '\n' ? char : escaped(char)))
}

const hex = (number: number, length: number): string => number.toString(16).padStart(length, '0')

export function asPython({ training, tunery, ...request }: CreateJob): string {
  const lines = Object.entries(request).map(([name, value]) => `    ${name}=${python(value, 4)},`)
  const extensions = Object.entries({ training, tunery }).filter(([, value]) => value)
  if (extensions.length) lines.push(`    extra_body={${extensions.map(([name, value]) => `"${name}": ${python(value, 4)}`).join(', ')}},`)
  return [
    'import os',
    '',
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url=${python(apiRoot(), 0)}, api_key=os.environ["TUNERY_API_KEY"])`,
    'job = client.fine_tuning.jobs.create(',
    ...lines,
    ')',
    'print(job.id)',
  ].join('\n')
}

/** A value as a Python literal. */
export function python(value: unknown, indent: number): string {
  if (value === null || value === undefined) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (typeof value === 'string') return text(value)
  if (typeof value !== 'object') return String(value)
  const inner = ' '.repeat(indent + 4)
  const isList = Array.isArray(value)
  const items = isList
    ? value.map((item) => `${inner}${python(item, indent + 4)},`)
    : Object.entries(value).map(([name, item]) => `${inner}${python(name, 0)}: ${python(item, indent + 4)},`)
  const [open, close] = isList ? '[]' : '{}'
  return items.length ? `${open}\n${items.join('\n')}\n${' '.repeat(indent)}${close}` : `${open}${close}`
}

function text(value: string): string {
  const escaped = (point: number) => (point > 0xffff ? `\\U${hex(point, 8)}` : `\\u${hex(point, 4)}`)
  return JSON.stringify(value).replace(EACH_UNSEEN, (char) => escaped(char.codePointAt(0)!))
}
