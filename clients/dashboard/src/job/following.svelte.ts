/** Follows a job's log from its first event on, over interruptions, until the job has ended. */
import { at, Problem, send } from '../api/client'
import { asProblem } from '../api/loading.svelte'
import { frames } from '../api/server_sent'
import type { JobEvent } from '../api/types'
import { EMPTY, extended, type Log } from './log'

/** Charts are drawn at most this often. */
const DRAW_MILLISECONDS = 250
const RETRY_MILLISECONDS = 2000

export class Following {
  log = $state.raw<Log>(EMPTY)
  /** Why nothing arrives at the moment. */
  problem = $state.raw<Problem>()
  hasEnded = $state(false)
  readonly #job: string
  readonly #isOver: () => boolean
  #lastId = ''
  #waiting: JobEvent[] = []

  /** `isOver` tells whether the job has ended, so that a stream that ends is complete. */
  constructor(job: string, isOver: () => boolean) {
    this.#job = job
    this.#isOver = isOver
  }

  /** From an effect. While the page is hidden, no stream is open: a browser has few connections to a server. */
  start(): () => void {
    let abort = new AbortController()
    const turn = () => {
      abort.abort()
      abort = new AbortController()
      if (!document.hidden && !this.hasEnded) void this.#follow(abort.signal)
    }
    const timer = setInterval(() => this.#draw(), DRAW_MILLISECONDS)
    document.addEventListener('visibilitychange', turn)
    turn()
    return () => {
      document.removeEventListener('visibilitychange', turn)
      abort.abort()
      clearInterval(timer)
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    for (;;) {
      const wasOver = this.#isOver()
      let wait = RETRY_MILLISECONDS
      try {
        await this.#read(signal)
        this.problem = undefined
        if (wasOver) break
      } catch (error) {
        if (signal.aborted) return
        this.problem = asProblem(error)
        const { status, retryAfter } = this.problem
        if (status >= 400 && status < 500 && status !== 429) return
        wait = Math.max(wait, (retryAfter ?? 0) * 1000)
      }
      await new Promise((resolve) => setTimeout(resolve, wait))
      if (signal.aborted) return
    }
    this.#draw()
    this.hasEnded = true
  }

  async #read(signal: AbortSignal): Promise<void> {
    const headers: Record<string, string> = this.#lastId ? { 'last-event-id': this.#lastId } : {}
    const answer = await send(at`/v1/fine_tuning/jobs/${this.#job}/events` + '?stream=true', { signal, headers })
    for await (const { id, data } of frames(answer.body!)) {
      // What is still buffered will be sent again to the next reader.
      signal.throwIfAborted()
      this.problem = undefined
      if (id) this.#lastId = id
      this.#waiting.push(JSON.parse(data))
    }
  }

  #draw(): void {
    if (!this.#waiting.length) return
    this.log = extended(this.log, this.#waiting)
    this.#waiting = []
  }
}
