import { compareVersions } from '../../core/versions.ts'
import type { RunResult, TestResult } from '../types.ts'
import { html, type Markup } from './markup.ts'

export type Status = TestResult['status'] | RunResult['outcome']

/** `passed`, `not available`. */
export const statusText = (status: Status): string => (status === 'unavailable' ? 'not available' : status)

const symbols: Readonly<Record<Status, string>> = { passed: '✓', failed: '✗', skipped: '–', error: '!', stopped: '■', unavailable: '–' }

/** The symbol of a status, with its name for those who do not see it. */
export const mark = (status: Status): Markup => html`<span class="mark ${status}" role="img" aria-label="${statusText(status)}">${symbols[status]}</span>`

/** `0.4 s`, `12.3 s`, `3 min 05 s`, `1 h 02 min`. */
export function duration(ms: number): string {
  if (ms < 59_950) return `${(ms / 1000).toFixed(ms < 95 && ms > 0 ? 2 : 1)} s`
  const seconds = Math.round(ms / 1000)
  const two = (n: number): string => String(n).padStart(2, '0')
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s` : `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`
}

/** `812 B`, `14 KiB`, `3.2 MiB`. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const kib = bytes / 1024
  return kib < 1024 ? `${Math.round(kib)} KiB` : `${(kib / 1024).toFixed(1)} MiB`
}

/** `2026-01-01 12:00 UTC`; what is no date stays as it is. */
export function moment(iso: string): string {
  const date = new Date(iso)
  return Number.isNaN(date.getTime()) ? iso : `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

export const grouped = (n: number): string => n.toLocaleString('en-US')

/** `28 s`, `1:05`. */
export const shortDuration = (ms: number): string => {
  const all = Math.round(ms / 1000)
  return all < 60 ? `${all} s` : `${Math.floor(all / 60)}:${String(all % 60).padStart(2, '0')}`
}

/** `1 run`, `3 runs`. */
export const plural = (n: number, noun: string): string => `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`

/** Catalogue lines in order of version (4.9 before 4.14), then names of one's own. */
export const compareKernels = (a: string, b: string): number => compareVersions(a, b) || a.localeCompare(b, 'en', { numeric: true })
