/** One conversation, held with several models at once. Pure. */
import { apiRoot } from '../api/client'
import { python } from '../job/code'

export interface Answer {
  model: string
  /** What the model wrote before its answer. It is shown, and not sent again. */
  reasoning: string
  text: string
  state: 'writing' | 'complete' | 'stopped' | 'failed'
  problem?: string
  reason?: string
  tokens?: number
  firstSeconds?: number
  seconds?: number
}

export interface Turn {
  prompt: string
  /** One for each column. */
  answers: Answer[]
}

export interface Options {
  system: string
  maxTokens: number
  temperature: number
}

export interface ChatRequest {
  model: string
  messages: { role: string; content: string }[]
  max_completion_tokens: number
  temperature: number
}

/** The request for a column's next answer: everyone's questions, and its own answers. */
export function requestFor(model: string, column: number, turns: Turn[], options: Options): ChatRequest {
  const messages: ChatRequest['messages'] = options.system.trim() ? [{ role: 'system', content: options.system }] : []
  turns.forEach((turn, place) => {
    messages.push({ role: 'user', content: turn.prompt })
    const answer = turn.answers[column]
    if (answer?.text && place < turns.length - 1) messages.push({ role: 'assistant', content: answer.text })
  })
  return { model, messages, max_completion_tokens: options.maxTokens, temperature: options.temperature }
}

export function asCode(request: ChatRequest): string {
  return [
    'import os',
    '',
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url=${python(apiRoot(), 0)}, api_key=os.environ["TUNERY_API_KEY"])`,
    'answer = client.chat.completions.create(',
    ...Object.entries(request).map(([name, value]) => `    ${name}=${python(value, 4)},`),
    ')',
    'print(answer.choices[0].message.content)',
  ].join('\n')
}
