/** Why no job could train on a file, as far as its report tells: then nothing is asked that is refused anyway. */
import type { FileReport } from '../api/types'
import { FEWEST_EXAMPLES } from '../data/first_look'
import { count, some } from '../design/formats'

const FORMATS: Record<string, string[]> = {
  supervised: ['chat', 'completion'],
  dpo: ['preference'],
  encoder: ['classification', 'token_classification'],
}

/** Empty if the report has nothing against it. `kind`: the method, or `encoder` whatever the method. */
export function refusalBy(report: FileReport, kind: string): string {
  if (report.status === 'in_progress') return ''
  const errors = report.errors.reduce((sum, finding) => sum + finding.count, 0)
  if (errors) return `The training file has errors in ${some(errors, 'place')}.`
  const examples = report.n_examples ?? 0
  if (examples < FEWEST_EXAMPLES) return `The training file has ${some(examples, 'example')}; a job needs at least ${count(FEWEST_EXAMPLES)}.`
  const formats = FORMATS[kind]
  if (report.format && formats && !formats.includes(report.format))
    return `The training file has ${report.format} rows, and this training takes ${formats.join(' or ')} rows.`
  return ''
}
