/** A first look at a training file, in the browser, before it is sent. It finds the common mistakes in the order
 * in which the server would; the server knows all rules, and checks every line again. */

export interface Fault {
  line: number
  column: number
  message: string
}

export interface Look {
  lines: number
  /** By format, how many rows have it. */
  formats: Record<string, number>
  faults: Fault[]
  /** All faults, of which `faults` are the first. */
  numFaults: number
  /** Whether any line is a JSON object. */
  hasObjects: boolean
  /** Of the first row without a fault. A file has one format. */
  format: string
  /** The first of the blank lines just read. Only the end of the file may have some. */
  blank: number
}

export const newLook = (): Look => ({ lines: 0, formats: {}, faults: [], numFaults: 0, hasObjects: false, format: '', blank: 0 })

type Json = Record<string, unknown>
type Complaint = string | null

/** A job needs as many examples: MIN_TRAINING_EXAMPLES of cluster/contracts/datasets.py. */
export const FEWEST_EXAMPLES = 10
const MOST = 20
const CONVERSATION = ['messages', 'tools', 'functions', 'parallel_tool_calls']
/** By format: the keys that tell it, those that it must have, and those that it may have too. */
const FORMATS: [name: string, telling: string[], needed: string[], others: string[]][] = [
  ['chat', ['messages'], ['messages'], CONVERSATION],
  ['completion', ['prompt', 'completion'], ['prompt', 'completion'], []],
  [
    'preference',
    ['preferred_output', 'preferred_completion', 'non_preferred_output', 'non_preferred_completion'],
    ['input'],
    ['preferred_output', 'preferred_completion', 'non_preferred_output', 'non_preferred_completion'],
  ],
  ['token_classification', ['tokens', 'labels'], ['tokens', 'labels'], []],
  ['classification', ['text', 'label'], ['text', 'label'], ['text_pair']],
]
const ASSISTANT = ['content', 'name', 'reasoning_content', 'reasoning', 'tool_calls', 'function_call', 'refusal', 'annotations', 'parsed', 'weight']
const SAYING = ['content', 'tool_calls', 'function_call', 'refusal']
const MESSAGES: Record<string, string[]> = {
  system: ['content', 'name'],
  developer: ['content', 'name'],
  user: ['content', 'name'],
  assistant: ASSISTANT,
  tool: ['content', 'name', 'tool_call_id'],
  function: ['content', 'name'],
}

/** Takes one line more, and adds what is wrong with it. */
export function lookAt(look: Look, text: string): void {
  look.lines += 1
  if (!text.trim()) {
    look.blank ||= look.lines
    return
  }
  if (look.blank) note(look, { line: look.blank, column: 1, message: 'The line is blank; only the end of the file may have blank lines.' })
  look.blank = 0
  const fault = faultIn(look, text)
  if (fault) note(look, { line: look.lines, ...fault })
}

/** Reads the file piece by piece. */
export async function lookThrough(file: Blob, told: (share: number) => void): Promise<Look> {
  const look = newLook()
  const reader = file.stream().pipeThrough(new TextDecoderStream('utf-8', { fatal: true }) as ReadableWritablePair<string, Uint8Array>).getReader()
  let [rest, read] = ['', 0]
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    read += value.length
    const lines = (rest + value).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) lookAt(look, line)
    told(Math.min(1, read / file.size))
  }
  if (rest.trim()) lookAt(look, rest)
  return look
}

function note(look: Look, fault: Fault): void {
  look.numFaults += 1
  if (look.faults.length < MOST) look.faults.push(fault)
}

function faultIn(look: Look, text: string): Omit<Fault, 'line'> | null {
  let row: unknown
  try {
    row = JSON.parse(text)
  } catch (error) {
    return { column: columnOf(String(error)), message: 'This is not JSON. Every line must be one JSON object.' }
  }
  if (!isObject(row)) return { column: 1, message: 'This is not a JSON object.' }
  look.hasObjects = true
  const complaint = complaintOfRow(look, row)
  return complaint === null ? null : { column: 1, message: complaint }
}

function complaintOfRow(look: Look, row: Json): Complaint {
  const found = FORMATS.find(([, telling]) => telling.some((key) => key in row))
  if (!found) return 'No known format: a chat has `messages`, a completion `prompt` and `completion`.'
  const [format, , needed, others] = found
  look.formats[format] = (look.formats[format] ?? 0) + 1
  const complaint = missing(row, needed) ?? unknown(row, [...needed, ...others]) ?? (format === 'chat' ? complaintOfChat(row) : null)
  if (complaint !== null) return complaint
  if (row['completion'] === '') return '`completion` is empty, so there is nothing to learn.'
  look.format ||= format
  return format === look.format ? null : `This is a ${format} row in a file of ${look.format} rows; a file has one format.`
}

function complaintOfChat({ messages }: Json): Complaint {
  if (!Array.isArray(messages) || !messages.length) return '`messages` must be a list with at least one message.'
  for (const [place, message] of messages.entries()) {
    const complaint = complaintOfMessage(message, `messages[${place}]`)
    if (complaint !== null) return complaint
  }
  const answers = messages.filter((message) => message.role === 'assistant')
  if (!answers.length) return 'No message is from the assistant, so there is nothing to learn.'
  if (!answers.some((answer) => answer.weight !== 0 && saysSomething(answer))) return 'Every answer of the assistant is empty or has weight 0, so there is nothing to learn.'
  return null
}

function complaintOfMessage(message: unknown, place: string): Complaint {
  if (!isObject(message)) return `\`${place}\` must be a JSON object.`
  const allowed = MESSAGES[String(message['role'])]
  if (!allowed) return `\`${place}.role\` must be one of system, developer, user, assistant and tool.`
  if (message['role'] !== 'assistant') return missing(message, ['content'], `${place}.`) ?? unknown(message, ['role', ...allowed], `${place}.`)
  const isEmpty = SAYING.every((key) => (message[key] ?? null) === null)
  return isEmpty ? `\`${place}\` has neither \`content\` nor \`tool_calls\`.` : unknown(message, ['role', ...allowed], `${place}.`)
}

function missing(values: Json, needed: string[], before = ''): Complaint {
  const key = needed.find((each) => (values[each] ?? null) === null)
  return key ? `\`${before}${key}\` is missing.` : null
}

/** null counts as absent. */
function unknown(values: Json, allowed: string[], before = ''): Complaint {
  const key = Object.keys(values).find((each) => values[each] !== null && !allowed.includes(each))
  return key === undefined ? null : `\`${before}${key}\` is not an allowed key.`
}

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

/** A list may be of text parts. */
const saysSomething = (answer: Json): boolean =>
  SAYING.some((key) => {
    const value = answer[key]
    return Array.isArray(value) ? value.some((part) => part?.text !== '') : !!value
  })

function columnOf(error: string): number {
  const [, position] = /position (\d+)/.exec(error) ?? []
  return position ? Number(position) + 1 : 1
}
