/** Light, dark, or as the system says. */
export type Theme = 'system' | 'light' | 'dark'

const NAME = 'tunery.theme'
const THEMES: Theme[] = ['system', 'light', 'dark']

class Chosen {
  theme = $state<Theme>(THEMES.find((each) => each === localStorage.getItem(NAME)) ?? 'system')

  next(): void {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length]!
    localStorage.setItem(NAME, this.theme)
    applyTheme()
    dispatchEvent(new Event('themechange'))
  }
}

export const chosen = new Chosen()

export function applyTheme(): void {
  document.documentElement.dataset['theme'] = chosen.theme
}
