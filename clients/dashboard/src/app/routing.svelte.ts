/** The screen and its arguments, as the part of the URL after `#`, which browsers send to no server. */

export interface Route {
  screen: string
  /** The rest of the path: ids and names. */
  rest: string[]
  options: URLSearchParams
}

class Router {
  route = $state.raw<Route>(routeOf(location.hash))

  constructor() {
    addEventListener('hashchange', () => (this.route = routeOf(location.hash)))
  }

  /** Changes the options of this screen, without a new entry in the history. */
  adjust(options: Record<string, string | string[]>): void {
    const { screen, rest } = this.route
    history.replaceState(null, '', link([screen, ...rest], options))
    this.route = routeOf(location.hash)
  }
}

export function routeOf(hash: string): Route {
  const [path = '', options = ''] = hash.replace(/^#\/?/, '').split('?')
  const [screen = '', ...rest] = path.split('/').map(decoded)
  return { screen: screen || 'jobs', rest, options: new URLSearchParams(options) }
}

export function link(path: string[], options: Record<string, string | string[]> = {}): string {
  const pairs = Object.entries(options).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter(Boolean).map((one) => [name, one]),
  )
  const tail = pairs.length ? `?${new URLSearchParams(pairs)}` : ''
  return `#/${path.map(encodeURIComponent).join('/')}${tail}`
}

export function go(path: string[], options: Record<string, string | string[]> = {}): void {
  location.hash = link(path, options)
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export const router = new Router()
