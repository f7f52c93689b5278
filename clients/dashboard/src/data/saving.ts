/** Saves what the API answers as a file. A link could not send the key. */
import { send } from '../api/client'

/** What a browser may hold in memory; larger things are left to the command line. */
export const MOST_BYTES = 512 * 2 ** 20

export async function save(path: string, name: string): Promise<void> {
  const url = URL.createObjectURL(await (await send(path)).blob())
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
