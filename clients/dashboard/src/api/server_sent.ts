/** Server-sent events over fetch: EventSource cannot send a key. */

export interface Frame {
  id: string
  data: string
}

/** Yields each event's id and data until the stream ends. */
export async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const blocks = (rest + value).split(/\r?\n\r?\n/)
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const frame = frameOf(block)
        if (frame) yield frame
      }
    }
  } finally {
    // Ends the request too, if the reader leaves early.
    await reader.cancel().catch(() => undefined)
  }
}

/** Null for a comment. */
export function frameOf(block: string): Frame | null {
  let id = ''
  const data: string[] = []
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? []
    if (name === 'id') id = value ?? ''
    if (name === 'data') data.push(value ?? '')
  }
  return data.length ? { id, data: data.join('\n') } : null
}
