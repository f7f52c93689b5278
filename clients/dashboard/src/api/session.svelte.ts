/** The key and the project that requests are made with. The key stays in this tab: in memory, or in
 * sessionStorage, which ends with the tab. It never becomes part of a URL or a cookie. */
const KEY = 'tunery.key'
const PROJECT = 'tunery.project'

class Session {
  key = $state(sessionStorage.getItem(KEY) ?? '')
  /** Sent as `OpenAI-Project`. Empty for the key's own project. */
  project = $state(sessionStorage.getItem(PROJECT) ?? '')
  /** Why the user has to sign in again. */
  ended = $state('')

  begin(key: string, isRemembered: boolean): void {
    this.key = key
    this.ended = ''
    if (isRemembered) sessionStorage.setItem(KEY, key)
  }

  actIn(project: string): void {
    this.project = project
    if (project) sessionStorage.setItem(PROJECT, project)
    else sessionStorage.removeItem(PROJECT)
  }

  end(reason = ''): void {
    this.key = this.project = ''
    this.ended = reason
    sessionStorage.removeItem(KEY)
    sessionStorage.removeItem(PROJECT)
  }
}

export const session = new Session()
