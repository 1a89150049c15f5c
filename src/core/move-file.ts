import { renameSync } from 'node:fs'
import { runCommand } from './command.ts'
import type { Context } from './context.ts'

/** Moves a file, to another file system if need be; holes stay holes. */
export async function moveFile(from: string, to: string, ctx: Pick<Context, 'signal'>): Promise<void> {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await runCommand('cp', ['--sparse=always', from, to], { signal: ctx.signal })
    await runCommand('rm', ['-f', from], { signal: ctx.signal })
  }
}
