import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApiServer, listenUnix } from '../api/http.ts'
import { command } from '../api/routes.ts'
import { runsInAgent } from './answer.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const script = here('main.ts')
const dir = mkdtempSync(join(tmpdir(), 'lash-client-'))
const [program, socket] = [join(dir, 'cilium'), join(dir, 'cilium.sock')]
const asked: unknown[] = []
const server = createApiServer({
  'GET /v1/map/tunnel': () => ({ body: [{ prefix: '10.244.1.0/24', node: '192.168.77.12' }] }),
  'POST /v1/command': async ({ body }) => {
    const it = await body()
    asked.push((it as { argv: string[] }).argv)
    return command(it, socket)
  },
})

interface Ran { code: number | null; stdout: string; stderr: string }
const run = (file: string, args: string[], at = socket): Promise<Ran> => new Promise((resolve) => {
  const child = spawn(file, args, { env: { CILIUM_SOCK: at }, stdio: ['ignore', 'pipe', 'pipe'] })
  const out = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => { out[name] += String(chunk) })
  child.on('close', (code) => resolve({ code, ...out }))
})
const viaNode = (args: string[], at = socket): Promise<Ran> => run(process.execPath, [script, ...args], at)

describe('the small client, which has the agent run its command line', { timeout: 30_000 }, () => {
  beforeAll(async () => {
    const { status, stderr } = spawnSync('gcc', ['-static', '-Os', '-Wall', `-DNODE="${process.execPath}"`, `-DSCRIPT="${script}"`, '-o', program, here('../../client/cilium.c')], { encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)
    await listenUnix(server, socket)
  }, 60_000)
  afterAll(() => {
    server.close()
    rmSync(dir, { recursive: true, force: true })
  })

  it.each([[['bpf', 'tunnel', 'list']], [['bpf', 'tunnel', 'list', '-o', 'json']], [['--help']], [['no-such-command']], [['endpoint', 'get']], [['status', '--no-such-flag']], [['status']]])('prints what Node prints, and ends as it does: %j', async (args) => {
    const before = asked.length
    const ours = await run(program, args)
    expect(asked.slice(before)).toEqual([args])
    expect(ours).toEqual(await viaNode(args))
  })

  it('says that it is cilium-health, where that is its name', async () => {
    const health = join(dir, 'cilium-health')
    const { status, stderr } = spawnSync('gcc', ['-static', '-Os', '-Wall', '-DPROGRAM="cilium-health"', `-DNODE="${process.execPath}"`, `-DSCRIPT="${script}"`, '-o', health, here('../../client/cilium.c')], { encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    const { code, stdout } = await run(health, ['--help'])
    expect(asked.at(-1)).toEqual(['cilium-health', '--help'])
    expect([code, stdout]).toEqual([0, expect.stringContaining('cilium-health [command]') as string])
    expect((await run(health, ['status'], join(dir, 'none.sock'))).stderr).toContain('Is the agent running?')
  })

  it('hands arguments on as they are', async () => {
    const args = ['config', 'quo"te', 'back\\slash', 'über\n', '']
    await run(program, args)
    expect(asked.at(-1)).toEqual(args)
  })

  it('leaves what streams or reads files to Node', async () => {
    const args = ['monitor', '--type', 'drops']
    const ours = await run(program, args)
    expect(ours).toEqual(await viaNode(args))
    expect(ours.stderr).toContain('did you mean "drop"?')
  })

  it('leaves it to Node to say that there is no agent', async () => {
    const nowhere = join(dir, 'none.sock')
    const ours = await run(program, ['status'], nowhere)
    expect(ours).toEqual(await viaNode(['status'], nowhere))
    expect(ours.code).toBe(1)
    expect(ours.stderr).toContain('Is the agent running?')
  })

  it('says that an answer was cut', async () => {
    const cut = join(dir, 'cut.sock')
    const cutting = createApiServer({ 'POST /v1/command': () => ({ stream: (response) => { response.writeHead(200, { 'content-length': 100, 'x-exit-code': 0, 'x-stdout-length': 100 }); response.write('half'); setImmediate(() => response.destroy()) } }) })
    await listenUnix(cutting, cut)
    try {
      expect(await run(program, ['status'], cut)).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('broke off') as string })
    } finally {
      cutting.close()
    }
  })
})

it('runs in the agent what only asks it', () => {
  expect([['status'], ['-o', 'json', 'endpoint', 'list'], ['policy', 'get'], []].map((argv) => runsInAgent(argv))).toEqual([true, true, true, true])
  expect([['monitor'], ['policy', 'import', 'f'], ['policy', 'wait', '3'], ['bugtool'], ['-H', 'unix:///x', 'status'], ['status', '--host=unix:///x']].map((argv) => runsInAgent(argv))).toEqual([false, false, false, false, false, false])
})
