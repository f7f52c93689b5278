/** Sends files: small ones whole, large ones in parts. */
import { apiUrl, at, authorization, get, post, Problem, problemFrom } from '../api/client'
import type { FileObject, Upload, UploadPart } from '../api/types'

const WHOLE_BYTES = 64 * 2 ** 20
const PART_BYTES = 32 * 2 ** 20
const POLL_MILLISECONDS = 1000

/** Returns the file once the server has checked it. `told` hears the share that is sent. */
export async function upload(file: File, purpose: string, told: (share: number) => void): Promise<FileObject> {
  let sent = file.size <= WHOLE_BYTES ? await sendWhole(file, purpose, told) : await sendInParts(file, purpose, told)
  while (sent.status === 'uploaded') {
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS))
    sent = await get<FileObject>(at`/v1/files/${sent.id}`)
  }
  return sent
}

function sendWhole(file: File, purpose: string, told: (share: number) => void): Promise<FileObject> {
  const form = new FormData()
  form.append('purpose', purpose)
  form.append('file', file)
  return sendForm<FileObject>('/v1/files', form, told)
}

async function sendInParts(file: File, purpose: string, told: (share: number) => void): Promise<FileObject> {
  const begun = await post<Upload>('/v1/uploads', {
    bytes: file.size,
    filename: file.name,
    mime_type: 'application/jsonl',
    purpose,
  })
  const parts: string[] = []
  for (let start = 0; start < file.size; start += PART_BYTES) {
    const piece = file.slice(start, start + PART_BYTES)
    const form = new FormData()
    form.append('data', piece)
    const part = await sendForm<UploadPart>(at`/v1/uploads/${begun.id}/parts`, form, (share) => told((start + share * piece.size) / file.size))
    parts.push(part.id)
  }
  const done = await post<Upload>(at`/v1/uploads/${begun.id}/complete`, { part_ids: parts })
  return done.file!
}

/** With XMLHttpRequest, because fetch does not tell how much has been sent. */
function sendForm<T>(path: string, form: FormData, told: (share: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', apiUrl(path))
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => event.lengthComputable && told(event.loaded / event.total)
    request.onload = () =>
      request.status < 300
        ? resolve(JSON.parse(request.responseText))
        : reject(problemFrom(request.responseText, request.status, request.getResponseHeader('x-request-id')))
    request.onerror = () => reject(new Problem('The connection broke while the file was sent.', 0))
    request.send(form)
  })
}
