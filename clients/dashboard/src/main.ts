import { mount } from 'svelte'
import App from './app/App.svelte'
import { applyTheme } from './app/theme.svelte'
import './design/tokens.css'
import './design/base.css'

applyTheme()
mount(App, { target: document.getElementById('app')! })
