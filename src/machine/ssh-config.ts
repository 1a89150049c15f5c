import { readFileSync } from 'node:fs'
import SSHConfig from 'ssh-config'
import { runCommand } from '../core/command.ts'
import { usageError } from '../core/errors.ts'

/** The user's SSH configuration. */
export interface SshConfigFile {
  readonly path: string
  /** Host patterns in the order of the file. */
  readonly patterns: readonly string[]
}

/** Throws a usage error for a file that cannot be read, or names no host. */
export function readSshConfig(path: string): SshConfigFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw usageError(`--ssh-config ${path}: ${(error as Error).message}`)
  }
  let config: SSHConfig
  try {
    config = SSHConfig.parse(text)
  } catch (error) {
    throw usageError(`--ssh-config ${path} is no SSH configuration: ${error instanceof Error ? error.message : String(error)}`)
  }
  const patterns = config.flatMap((line) => ('param' in line && line.param.toLowerCase() === 'host' ? wordsOf(line.value) : []))
  if (patterns.length === 0) throw usageError(`--ssh-config ${path} has no Host`, 'give a file in the form of ssh_config(5): kops, Terraform and `vagrant ssh-config` print one')
  return { path, patterns }
}

const wordsOf = (value: unknown): string[] => (Array.isArray(value) ? (value as (string | { val: string })[]).map((word) => (typeof word === 'string' ? word : word.val)) : String(value).split(/\s+/)).filter(Boolean)

const isPlain = (pattern: string): boolean => !/[*?!]/.test(pattern)

/** Whether a pattern of ssh_config(5) stands for a name. */
const matches = (pattern: string, name: string): boolean => new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')}$`).test(name)

/**
 * What `ssh` has to be called with for a node: the alias that is its name, whole or up to the first dot; else one whose HostName is one of the node's addresses; else the
 * node's name or address where a pattern stands for it. Undefined when the file does not know the node.
 * @param hostNameOf asks the ssh client what an alias comes to.
 */
export async function findSshHost(file: SshConfigFile, node: { readonly name: string; readonly addresses: readonly string[] }, hostNameOf = hostName): Promise<string | undefined> {
  const aliases = file.patterns.filter(isPlain)
  const names = [node.name, node.name.split('.')[0]!]
  const named = aliases.find((alias) => names.includes(alias))
  if (named !== undefined) return named
  for (const alias of aliases) if (node.addresses.includes(await hostNameOf(file.path, alias))) return alias
  return [node.name, ...node.addresses].find((name) => file.patterns.some((pattern) => !isPlain(pattern) && !pattern.startsWith('!') && matches(pattern, name)) && !file.patterns.some((pattern) => pattern.startsWith('!') && matches(pattern.slice(1), name)))
}

async function hostName(path: string, alias: string): Promise<string> {
  const { stdout } = await runCommand('ssh', ['-G', '-F', path, alias], { timeoutMs: 10_000, hint: 'apt-get install openssh-client; ssh -G -F FILE HOST says what is wrong with the file' })
  return /^hostname (.*)$/m.exec(stdout)?.[1] ?? alias
}
