/** What a screen reads from the API: one object, or pages of a list. */
import { get, Problem, query } from './client'
import type { Page } from './types'

/** An object that is read when the screen opens, and again on demand. A failed repetition keeps the value. */
export class Loaded<T> {
  value = $state.raw<T | undefined>()
  problem = $state.raw<Problem | undefined>()
  isLoading = $state(false)
  readonly #read: () => Promise<T>
  #count = 0

  constructor(read: () => Promise<T>) {
    this.#read = read
  }

  async load(): Promise<void> {
    const turn = ++this.#count
    this.isLoading = true
    try {
      const value = await this.#read()
      if (turn === this.#count) [this.value, this.problem] = [value, undefined]
    } catch (error) {
      if (turn === this.#count) this.problem = asProblem(error)
    } finally {
      if (turn === this.#count) this.isLoading = false
    }
  }
}

/** Items of a page. */
const LIMIT = 20
/** Items of later pages that are read again at a time, at most. */
const REREAD = 5

/** A list whose pages are fetched as the reader comes to their end. */
export class Pages<T extends { id: string }> {
  items = $state.raw<T[]>([])
  hasMore = $state(false)
  problem = $state.raw<Problem | undefined>()
  isLoading = $state(false)
  /** Whether the first page has arrived. */
  isKnown = $state(false)
  readonly #path: string
  readonly #query: Record<string, string | number | boolean | undefined>
  #turn = 0

  constructor(path: string, options: Record<string, string | number | boolean | undefined> = {}) {
    this.#path = path
    this.#query = { limit: LIMIT, ...options }
  }

  /** Fetches the first page, and puts it before what is known of the later ones. */
  refresh = (): Promise<void> =>
    this.#fetch(undefined, (page) => {
      const fresh = new Set(page.data.map((item) => item.id))
      const last = page.data.at(-1)
      const place = this.items.findIndex((item) => item.id === last?.id)
      const isComplete = !page.has_more || place < 0
      this.items = isComplete
        ? page.data
        : [...page.data, ...this.items.slice(place + 1).filter((item) => !fresh.has(item.id))]
      if (isComplete) this.hasMore = page.has_more ?? false
    })

  /** Reads a few items of later pages again, in turn, if they may change. */
  async rereadLater(mayChange: (item: T) => boolean): Promise<void> {
    const later = this.items.slice(LIMIT).filter(mayChange)
    const begin = (this.#turn++ % Math.max(1, Math.ceil(later.length / REREAD))) * REREAD
    const due = later.slice(begin, begin + REREAD)
    const read = await Promise.allSettled(due.map((item) => get<T>(`${this.#path}/${encodeURIComponent(item.id)}`)))
    const fresh = new Map<string, T>()
    for (const each of read) if (each.status === 'fulfilled') fresh.set(each.value.id, each.value)
    if (fresh.size) this.items = this.items.map((item) => fresh.get(item.id) ?? item)
  }

  more = async (): Promise<void> => {
    if (this.isLoading || !this.hasMore) return
    await this.#fetch(this.items.at(-1)?.id, (page) => {
      const known = new Set(this.items.map((item) => item.id))
      this.items = [...this.items, ...page.data.filter((item) => !known.has(item.id))]
      this.hasMore = page.has_more ?? false
    })
  }

  async #fetch(after: string | undefined, take: (page: Page<T>) => void): Promise<void> {
    this.isLoading = true
    try {
      take(await get<Page<T>>(this.#path + query({ ...this.#query, after })))
      this.problem = undefined
      this.isKnown = true
    } catch (error) {
      this.problem = asProblem(error)
    } finally {
      this.isLoading = false
    }
  }
}

/** Repeats `act` while the page is visible, from an effect; the first time at once. */
export function repeating(seconds: number, act: () => unknown): () => void {
  let isActing = false
  const turn = async () => {
    if (document.hidden || isActing) return
    isActing = true
    await act()
    isActing = false
  }
  void turn()
  const timer = setInterval(turn, seconds * 1000)
  document.addEventListener('visibilitychange', turn)
  return () => {
    clearInterval(timer)
    document.removeEventListener('visibilitychange', turn)
  }
}

export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(error instanceof Error ? error.message : String(error), 0)
}
