import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import { z } from 'zod'
import { KernelbedError, usageError } from '../core/errors.ts'

/** An object of Kubernetes, as much of it as every kind has. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; [key: string]: unknown }
  [key: string]: unknown
}

const object = z.looseObject({ apiVersion: z.string(), kind: z.string(), metadata: z.looseObject({ name: z.string() }) })
const list = z.looseObject({ kind: z.string().regex(/List$/), items: z.array(z.unknown()) })

const isUrl = (source: string): boolean => /^https?:/.test(source)
const isManifest = (file: string): boolean => /\.(ya?ml|json)$/.test(file)
const hint = 'give a file of manifests, a folder of them (*.yaml, *.yml, *.json), or a URL'

/** That files and folders are there. Throws a usage error. */
export function checkManifests(sources: readonly string[]): void {
  for (const source of sources) {
    if (isUrl(source)) continue
    if (!existsSync(source)) throw usageError(`--agent-manifests ${source}: there is no such file or folder`, hint)
    if (statSync(source).isDirectory() && !readdirSync(source).some(isManifest)) throw usageError(`--agent-manifests ${source}: no manifest in this folder`, hint)
  }
}

/** The objects of files, folders (their files by name) and URLs, in order. Throws KernelbedError: what is wrong, and in which file. */
export async function readManifests(sources: readonly string[], signal: AbortSignal): Promise<KubeObject[]> {
  const texts = await Promise.all(sources.map(async (source) => (isUrl(source) ? [{ from: source, text: await fetched(source, signal) }] : filesOf(source).map((from) => ({ from, text: readFileSync(from, 'utf8') })))))
  const objects = texts.flat().flatMap(({ from, text }) => parseManifests(text, from))
  if (objects.length === 0) throw usageError(`--agent-manifests ${sources.join(', ')}: no object in it`, hint)
  return objects
}

const filesOf = (source: string): string[] => (statSync(source).isDirectory() ? readdirSync(source).filter(isManifest).sort().map((file) => join(source, file)) : [source])

async function fetched(url: string, signal: AbortSignal): Promise<string> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(60_000)]) })
    if (answer.ok) return await answer.text()
    throw new Error(`${answer.status} ${answer.statusText}`)
  } catch (cause) {
    if (signal.aborted) throw cause
    throw new KernelbedError(`--agent-manifests: cannot read ${url}: ${cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : String(cause)}`, { blame: 'host', hint: 'fetch it where the network allows, and give the file', cause })
  }
}

/** The objects of one text; what is empty or a comment is left out, and lists are taken apart. `from` is for messages. */
export function parseManifests(text: string, from: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document, i) => {
    const [error] = document.errors
    if (error) throw usageError(`${from} is not YAML: ${error.message.split('\n')[0]}`, /\{\{/.test(text) ? 'it is a template of Helm: render it first (helm template … > cilium.yaml)' : hint)
    return objectsIn(document.toJS() as unknown, `${from}, document ${i + 1}`)
  })
}

function objectsIn(value: unknown, from: string): KubeObject[] {
  if (value === null || value === undefined) return []
  const items = list.safeParse(value)
  if (items.success) return items.data.items.flatMap((item) => objectsIn(item, from))
  const parsed = object.safeParse(value)
  if (!parsed.success) throw usageError(`${from} is no object of Kubernetes:\n${z.prettifyError(parsed.error)}`, hint)
  return [parsed.data]
}

/** Kinds that others of the same manifests need first; kubectl applies in order. */
const first = ['Namespace', 'CustomResourceDefinition', 'PriorityClass', 'ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding', 'Secret', 'ConfigMap']

/** YAML for `kubectl apply`, what others need first. */
export const manifestsText = (objects: readonly KubeObject[]): string => {
  const rank = ({ kind }: KubeObject): number => (first.includes(kind) ? first.indexOf(kind) : first.length)
  return [...objects].sort((a, b) => rank(a) - rank(b)).map((each) => stringify(each, { aliasDuplicateObjects: false })).join('---\n')
}
