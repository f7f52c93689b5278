/** Calls the public API with the user's key. */
import { session } from './session.svelte'

/** What the API, or the network, answered instead of a result. `status` 0: no answer came. */
export class Problem extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string | null = null,
    readonly param: string | null = null,
    readonly requestId: string | null = null,
    /** When the server wants to be asked again, in seconds. */
    readonly retryAfter: number | null = null,
  ) {
    super(message)
  }
}

export interface Call {
  method?: 'GET' | 'POST' | 'DELETE'
  /** Sent as JSON. */
  body?: unknown
  form?: FormData
  signal?: AbortSignal
  headers?: Record<string, string>
  /** The key to use before the session has one. */
  key?: string
}

/** Below the page, wherever a proxy has put that. */
export function apiUrl(path: string): string {
  return new URL(path.replace(/^\//, ''), document.baseURI.replace(/[#?].*$/, '')).href
}

/** Root of the API as other programs would be told it. */
export const apiRoot = (): string => apiUrl('/v1')

export function authorization(key = session.key): Record<string, string> {
  const headers: Record<string, string> = { authorization: `Bearer ${key}` }
  if (session.project) headers['openai-project'] = session.project
  return headers
}

/** Raises Problem for whatever is not a success. */
export async function send(path: string, call: Call = {}): Promise<Response> {
  const headers: Record<string, string> = { ...authorization(call.key), ...call.headers }
  if (call.body !== undefined) headers['content-type'] = 'application/json'
  let answer: Response
  try {
    answer = await fetch(apiUrl(path), {
      method: call.method ?? (call.body === undefined && !call.form ? 'GET' : 'POST'),
      headers,
      body: call.form ?? (call.body === undefined ? undefined : JSON.stringify(call.body)),
      signal: call.signal,
      cache: 'no-store',
      credentials: 'omit',
    })
  } catch (error) {
    if (call.signal?.aborted) throw error
    throw new Problem('The server does not answer. Check that Tunery runs, and your network.', 0)
  }
  if (!answer.ok) {
    const problem = await problemOf(answer)
    if (answer.status === 401 && !call.key) session.end(problem.message)
    throw problem
  }
  return answer
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await send(path, { signal })).json() as Promise<T>
}

export async function post<T>(path: string, body?: unknown, call: Call = {}): Promise<T> {
  return (await send(path, { method: 'POST', body, ...call })).json() as Promise<T>
}

export async function remove<T>(path: string): Promise<T> {
  return (await send(path, { method: 'DELETE' })).json() as Promise<T>
}

/** A path with its values quoted: at`/v1/models/${name}`. */
export function at(parts: TemplateStringsArray, ...values: string[]): string {
  return parts.reduce((path, part, place) => path + encodeURIComponent(values[place - 1] ?? '') + part)
}

/** A query of what is set. */
export function query(values: Record<string, string | number | boolean | null | undefined>): string {
  const set = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return set.length ? `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}` : ''
}

/** Of an answer's JSON body, or of a text that should be one. */
export function problemFrom(
  text: string,
  status: number,
  requestId: string | null = null,
  retryAfter: number | null = null,
): Problem {
  try {
    const { message, code, param } = JSON.parse(text).error
    return new Problem(String(message), status, code ?? null, param ?? null, requestId, retryAfter)
  } catch {
    return new Problem(`The server answered with status ${status}.`, status, null, null, requestId, retryAfter)
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  const { status, headers } = answer
  const retryAfter = Number(headers.get('retry-after')) || null
  return problemFrom(await answer.text().catch(() => ''), status, headers.get('x-request-id'), retryAfter)
}
