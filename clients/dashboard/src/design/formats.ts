/** Numbers, times and sizes as people read them. */

export function count(value: number): string {
  return value.toLocaleString('en')
}

/** 1 run, 2 runs */
export function some(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? '' : 's'}`
}

/** 1,234 → 1.2 K */
export function short(value: number): string {
  return Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(value)
}

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

/** 209 → 3 min 29 s; 3,725 → 1 h 2 min */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`
  const minutes = Math.round(whole / 60)
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`
  return `${Math.round(hours / 24)} days`
}

/** Of Unix seconds, in the reader's own time zone. */
export function moment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString('en', {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hour12: false,
  })
}

export function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString('en', { hour12: false })
}

export function ago(seconds: number, now = Date.now() / 1000): string {
  const passed = Math.max(0, now - seconds)
  if (passed < 10) return 'just now'
  if (passed < 60) return `${Math.round(passed)} s ago`
  if (passed < 3600) return `${Math.round(passed / 60)} min ago`
  if (passed < 48 * 3600) return `${Math.round(passed / 3600)} h ago`
  return `${Math.round(passed / 86400)} days ago`
}

/** With as many digits as tell something: losses and rates. */
export function figure(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return '–'
  if (!Number.isFinite(value)) return 'not a number'
  const size = Math.abs(value)
  if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(2)
  return Number.isInteger(value) ? count(value) : value.toFixed(Math.min(digits, size >= 100 ? 1 : digits))
}

export function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? '–' : `${(share * 100).toFixed(1)} %`
}
