import { createWriteStream, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { hostname, release } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { isGiven, type ParsedFlags } from '../config/flags.ts'
import { hasFault } from '../fault.ts'
import { CommandError, type Action } from './command.ts'

/** Command lines whose output is in the archive, in `cmd/`. */
const commands = [
  'version', 'status --verbose', 'config', 'endpoint list', 'endpoint list -o json', 'identity list', 'identity list -o json', 'node list', 'policy get', 'service list', 'prefilter list', 'metrics list',
  'bpf tunnel list', 'bpf lb list', 'bpf lb list --revnat', 'bpf ct list global', 'bpf ipcache list', 'bpf endpoint list', 'bpf policy list -n', 'bpf metrics list',
].map((line) => line.split(' '))

/** Files of the node and of the agent, in `files/`; folders with all that is below. */
const files = [
  '/proc/version', '/proc/cmdline', '/proc/uptime', '/proc/loadavg', '/proc/meminfo', '/proc/mounts', '/proc/modules', '/proc/config.gz', '/proc/net/dev', '/proc/net/route', '/proc/net/arp', '/proc/net/fib_trie', '/proc/net/snmp', '/proc/net/netstat',
  '/proc/net/softnet_stat', '/var/run/cilium/state', '/tmp/cilium/config-map',
]
const biggestFile = 8 << 20

interface Entry { readonly name: string; readonly content: Buffer }

/** `cilium bugtool`: what there is to know of an agent and its node, in one archive. An agent that is gone leaves its error in place of each answer. */
export const bugtool: Action = {
  short: 'Collects agent & system information useful for bug reporting',
  flags: {
    tmp: { type: 'string', short: 't', usage: 'Folder that the archive is written to (default "/tmp")' },
    output: { type: 'string', short: 'o', usage: 'Archive type: tar | gz (default "tar"), or the path of the archive' },
    'dry-run': { type: 'bool', usage: 'Print what would be collected' },
  },
  run: async (parsed) => {
    if (isGiven(parsed, 'dry-run')) return [...commands.map((argv) => `cilium ${argv.join(' ')}`), ...files, ''].join('\n')
    const name = `cilium-bugtool-${stamp(new Date())}`
    const { path, gzip } = target(parsed, name)
    // A seeded fault: an archive without what it is made for.
    const entries = hasFault('bugtool-empty') ? [] : [...await outputs(), ...files.flatMap(contents), links()]
    await writeArchive(path, gzip, entries.map((entry) => ({ ...entry, name: `${name}/${entry.name}` })))
    return `\nARCHIVE at ${path}\n`
  },
}

/** `20180710-093012.123+0000-UTC-123456789`, as Cilium names it: the time, then something to tell two of a millisecond apart. */
const stamp = (now: Date): string => `${now.toISOString().slice(0, 23).replace(/-/g, '').replace('T', '-').replace(/:/g, '')}+0000-UTC-${process.pid}${Math.floor(performance.now())}`

function target({ values }: ParsedFlags, name: string): { path: string; gzip: boolean } {
  const dir = values.get('tmp')?.at(-1) ?? '/tmp'
  const output = values.get('output')?.at(-1) ?? 'tar'
  if (output === 'tar' || output === 'gz') return { path: join(dir, `${name}.tar${output === 'gz' ? '.gz' : ''}`), gzip: output === 'gz' }
  if (!output.includes('/') && !/\.(tar|tgz|gz)$/.test(output)) throw new CommandError(`Unsupported output type: ${JSON.stringify(output)}, must be one of [tar, gz], or a path`)
  return { path: output, gzip: /\.t?gz$/.test(output) }
}

async function outputs(): Promise<Entry[]> {
  const { answer } = await import('./answer.ts')
  const entries: Entry[] = []
  for (const argv of [...commands, ['cilium-health', 'status']]) {
    const health = argv[0] === 'cilium-health'
    const { stdout, stderr, exitCode } = await answer(argv)
    const line = health ? argv.join(' ') : `cilium ${argv.join(' ')}`
    entries.push({ name: `cmd/${line.replaceAll(' ', '-')}.md`, content: Buffer.from(`# ${line}\n\n\`\`\`\n${stdout}${stderr}${exitCode === 0 ? '' : `exit code ${exitCode}\n`}\`\`\`\n`) })
  }
  return entries
}

/** A file, or what is below a folder; what can't be read says why. */
function contents(path: string): Entry[] {
  try {
    if (!existsSync(path)) return []
    if (statSync(path).isDirectory()) return readdirSync(path).flatMap((name) => contents(join(path, name)))
    if (!statSync(path).isFile()) return []
    return [{ name: `files${path}`, content: readFileSync(path).subarray(0, biggestFile) }]
  } catch (error) {
    return [{ name: `files${path}.error`, content: Buffer.from(`${(error as Error).message}\n`) }]
  }
}

/** Interfaces and pins, which are no files to read. */
function links(): Entry {
  const read = (path: string): string => { try { return readFileSync(path, 'utf8').trim() } catch { return '' } }
  const list = (path: string): string[] => { try { return readdirSync(path) } catch { return [] } }
  const interfaces = list('/sys/class/net').map((name) => `${name} ${['ifindex', 'address', 'mtu', 'operstate'].map((what) => `${what} ${read(`/sys/class/net/${name}/${what}`)}`).join(' ')}`)
  return { name: 'files/node.txt', content: Buffer.from([`host ${hostname()}, kernel ${release()}`, '', 'interfaces:', ...interfaces, '', 'pinned in /sys/fs/bpf/tc/globals:', ...list('/sys/fs/bpf/tc/globals'), ''].join('\n')) }
}

async function writeArchive(path: string, gzip: boolean, entries: readonly Entry[]): Promise<void> {
  const { pack: newPack } = await import('tar-stream')
  const pack = newPack()
  const out = createWriteStream(path, { mode: 0o600 })
  const written = gzip ? pipeline(pack, createGzip(), out) : pipeline(pack, out)
  for (const { name, content } of entries) pack.entry({ name, mtime: new Date() }, content)
  pack.finalize()
  await written.catch((error: unknown) => { throw new CommandError(`Failed to create archive: ${(error as Error).message}`) })
}
