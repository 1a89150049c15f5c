import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** `${XDG_CACHE_HOME:-~/.cache}/kernelbed`. */
export const cacheDir = (): string => join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'kernelbed')

/** Folder of all runs, in the working folder. */
export const runsDir = (): string => resolve('.kernelbed', 'runs')

/** The project's own folder. */
export const projectDir = resolve(import.meta.dirname, '..', '..')
