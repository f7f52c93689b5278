/** What the key may do in the project where it acts. Whatever is around the screens reads it; they look at it. */
import { get } from './client'
import { Loaded } from './loading.svelte'
import type { OwnRights } from './types'

export const own = new Loaded(() => get<OwnRights>('/v1/rights'))
