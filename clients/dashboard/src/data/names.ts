/** Names of files by their ids. Files never change their names, so each is asked for once. */
import { at, get } from '../api/client'
import type { FileObject } from '../api/types'

const known = new Map<string, Promise<string>>()

/** The id itself if the file is gone, or cannot be read. */
export function nameOf(id: string): Promise<string> {
  let name = known.get(id)
  if (!name) {
    name = get<FileObject>(at`/v1/files/${id}`).then((file) => file.filename, () => id)
    known.set(id, name)
  }
  return name
}
