import { spawn, type ChildProcess } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { PodCommandError, type openExec } from './pod-exec.ts'
import { PodShell } from './pod-shell.ts'

const where = { namespace: 'n', pod: 'p', container: 'c' }
const children: ChildProcess[] = []
const shells: PodShell[] = []

/** A shell of this host stands for one in a container. */
const local: typeof openExec = (_handle, _where, [file = '', ...args], stdout, stderr) => {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  children.push(child)
  child.stdout.pipe(stdout)
  child.stderr.pipe(stderr)
  child.stdin.on('error', () => undefined)
  const done = new Promise<{ exitCode: number | undefined; reason: string }>((resolve) => child.once('close', (code) => resolve({ exitCode: code ?? undefined, reason: code === null ? 'connection lost' : `exit code ${code}` })))
  return Promise.resolve({ done, write: (text: string) => void child.stdin.write(text), close: () => void child.kill('SIGKILL') })
}

const open = (exec: typeof openExec = local): PodShell => {
  const shell = new PodShell({ kubeconfig: '/none' }, where, exec)
  shells.push(shell)
  return shell
}

afterEach(async () => {
  for (const shell of shells.splice(0)) await shell.close()
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

describe('a kept shell', () => {
  it('gives both outputs and the exit code as they are, with and without a last newline', async () => {
    const shell = open()
    expect(await shell.run(['printf', 'a b\n\n'])).toMatchObject({ exitCode: 0, stdout: 'a b\n\n', stderr: '' })
    expect(await shell.run(['printf', 'no end'])).toMatchObject({ stdout: 'no end' })
    expect(await shell.run(['sh', '-c', 'echo out; echo wrong >&2; exit 7'], { allowFailure: true })).toMatchObject({ exitCode: 7, stdout: 'out\n', stderr: 'wrong\n' })
    expect(children).toHaveLength(1)
  })

  it('hands arguments on as they are', async () => {
    expect((await open().run(['printf', '%s|', 'a b', "it's", '$HOME', '', '`x`', 'über'])).stdout).toBe("a b|it's|$HOME||`x`|über|")
  })

  it('answers commands in turn, each its own', async () => {
    const shell = open()
    const answers = await Promise.all(['1', '2', '3'].map((n) => shell.run(['sh', '-c', `sleep 0.0${4 - Number(n)}; echo ${n}`])))
    expect(answers.map(({ stdout }) => stdout)).toEqual(['1\n', '2\n', '3\n'])
  })

  it('takes a megabyte', async () => {
    expect((await open().run(['sh', '-c', 'head -c 1000000 /dev/zero | tr "\\0" x'])).stdout).toHaveLength(1_000_000)
  })

  it('says what a command that fails said', async () => {
    const failing = open().run(['sh', '-c', 'echo why >&2; exit 3'])
    await expect(failing).rejects.toThrow(PodCommandError)
    await expect(failing).rejects.toMatchObject({ message: 'exit code 3 in n/p (c): sh -c echo why >&2; exit 3', result: { exitCode: 3, stderr: 'why\n' } })
  })

  it('is opened again after a command that took too long, or after it was killed', async () => {
    const shell = open()
    await expect(shell.run(['sleep', '60'], { timeoutMs: 100 })).rejects.toThrow('timed out after 0.1 s')
    expect((await shell.run(['echo', 'again'])).stdout).toBe('again\n')
    const killed = shell.run(['sh', '-c', 'kill -9 $PPID'])
    await expect(killed).rejects.toThrow('the shell ended: connection lost')
    expect((await shell.run(['echo', 'and again'])).stdout).toBe('and again\n')
    expect(children).toHaveLength(3)
    const closed = new Promise((resolve) => children.at(-1)!.once('close', resolve))
    children.at(-1)!.kill('SIGKILL')
    await closed
    expect((await shell.run(['echo', 'after its container was killed'])).stdout).toBe('after its container was killed\n')
  })
})

it('does without where the image has no shell', async () => {
  let asked = 0
  const none: typeof openExec = () => Promise.resolve({ done: Promise.resolve({ exitCode: 126, reason: 'exec: "sh": executable file not found' }), write: () => { asked++ }, close: () => undefined })
  // The command then goes by an exec of its own, which here finds no cluster.
  const shell = open(none)
  await expect(shell.run(['x'])).rejects.toThrow(/x$/)
  await expect(shell.run(['y'])).rejects.toThrow(/y$/)
  expect(asked).toBe(1)
})
