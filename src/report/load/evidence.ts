import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'

/** The end of a text file of the run folder. */
export interface LogTail {
  /** In the run folder, with `/`. */
  readonly path: string
  readonly kind: 'console' | 'commands' | 'log'
  /** Size of the whole file. */
  readonly bytes: number
  readonly lines: readonly string[]
  /** Whether the file has lines before these. */
  readonly cut: boolean
}

/** A file that is linked to. */
export interface EvidenceFile {
  readonly path: string
  readonly kind: 'pcap' | 'other'
  readonly bytes: number
}

const MAX_LINES = 400
const MAX_BYTES = 128 * 1024
const MAX_DEPTH = 6
/** Not evidence: keys, databases, and state of programs. */
const leftOut = new Set(['pki', 'etcd', 'agent-etcd', 'control-plane', 'node_modules', 'monitor', 'overlays'])
/** Files of the run folder itself that are no evidence, or are shown as something else. */
const leftOutAtTop = /^(result\.json|run\.json|kept\.json|features\.json|report\.html|.*kubeconfig.*)$/
/** Nothing that may hold a key or a disk is linked to. */
const neverShown = /\.(key|pem|crt|pub|qcow2|img|sock)$|^id_|kubeconfig/

/** Walks the run folder for logs (their ends are read) and files to link to. `failed` is told what could not be read. */
export function findEvidence(dir: string, failed: (path: string, why: string) => void): { logs: LogTail[]; files: EvidenceFile[] } {
  const logs: LogTail[] = []
  const files: EvidenceFile[] = []
  const seen = new Set<string>()
  // What was collected after a failure repeats logs of the run folder: those come first, their copies are left out.
  const paths = [...walk(dir, '', failed)].sort((a, b) => Number(isCollected(a)) - Number(isCollected(b)))
  for (const path of paths) {
    try {
      const kind = kindOf(path)
      if (kind === 'pcap' || kind === 'other') files.push({ path, kind, bytes: statSync(join(dir, path)).size })
      else {
        const tail = readTail(join(dir, path))
        const content = `${tail.bytes}\n${tail.lines.join('\n')}`
        if (tail.bytes > 0 && !(isCollected(path) && seen.has(content))) logs.push({ path, kind, ...tail })
        seen.add(content)
      }
    } catch (error) {
      failed(path, (error as Error).message)
    }
  }
  const rank = { console: 0, commands: 1, log: 2 }
  return { logs: logs.sort((a, b) => rank[a.kind] - rank[b.kind] || a.path.localeCompare(b.path)), files }
}

const isCollected = (path: string): boolean => path.startsWith('evidence/')

function kindOf(path: string): LogTail['kind'] | EvidenceFile['kind'] {
  if (/\.pcap(ng)?$/.test(path)) return 'pcap'
  if (path === 'commands.log') return 'commands'
  const text = /\.(log|txt|out)$|\/[^./]*(console|dmesg)[^./]*$/i.test(`/${path}`)
  if (!text) return 'other'
  return /console/i.test(path) ? 'console' : 'log'
}

/** Paths of regular files in name order; symbolic links are not followed. */
function* walk(root: string, below: string, failed: (path: string, why: string) => void, depth = 0): Generator<string> {
  let entries
  try {
    entries = readdirSync(join(root, below), { withFileTypes: true }).sort((a, b) => a.name.localeCompare(b.name))
  } catch (error) {
    return failed(below, (error as Error).message)
  }
  for (const entry of entries) {
    const path = below ? `${below}/${entry.name}` : entry.name
    if (entry.isDirectory() && !leftOut.has(entry.name) && depth < MAX_DEPTH) yield* walk(root, path, failed, depth + 1)
    else if (entry.isFile() && !neverShown.test(entry.name) && !(depth === 0 && leftOutAtTop.test(entry.name))) yield path
  }
}

/** Last lines of a file without reading the rest; terminal control sequences removed. */
function readTail(file: string): Pick<LogTail, 'bytes' | 'lines' | 'cut'> {
  const fd = openSync(file, 'r')
  try {
    const bytes = fstatSync(fd).size
    const start = Math.max(0, bytes - MAX_BYTES)
    const buffer = Buffer.alloc(bytes - start)
    const length = readSync(fd, buffer, 0, buffer.length, start)
    const all = stripVTControlCharacters(buffer.toString('utf8', 0, length)).replace(/\r+\n/g, '\n').trimEnd().split('\n')
    // The first line of a piece is the rest of one that began before it.
    if (start > 0 && all.length > 1) all.shift()
    return { bytes, lines: all.slice(-MAX_LINES), cut: start > 0 || all.length > MAX_LINES }
  } finally {
    closeSync(fd)
  }
}
