import { readFileSync } from 'node:fs'
import type { Context } from '../core/context.ts'
import { inStep } from '../core/progress.ts'
import { configOptions } from '../kernels/features.ts'
import { GuestCommandError, waitForGuest, type ExecResult, type Machine, type NodeHandle } from '../machine/index.ts'
import { ensureProbe } from './build.ts'
import { completed, parseConfig, parseProbe } from './parse.ts'
import type { FeatureTable } from './types.ts'

/** It takes half a second; a kernel that hangs in a probe should not hold up the run. */
const TIMEOUT_MS = 60_000
const CONFIG_MARK = '--- config'

/** Runs the program it reads from stdin, then prints the kernel's config as far as it matters. Leaves no file behind. A container has no /var/tmp, a distribution keeps the config in /boot. */
const script = `f=$(mktemp /var/tmp/kb-probe.XXXXXX 2>/dev/null || mktemp /tmp/kb-probe.XXXXXX) && trap 'rm -f "$f"' EXIT && cat >"$f" && chmod 700 "$f" || exit 1
"$f"; code=$?
echo '${CONFIG_MARK}'
{ zcat /proc/config.gz || cat /boot/config-$(uname -r); } 2>/dev/null | grep -E '^CONFIG_(${configOptions.join('|')})='
exit $code`

/** A node that runs shell commands as root. */
export interface ProbedNode extends Pick<Machine, 'name' | 'exec'> { readonly handle: Pick<NodeHandle, 'kernel'> }

export interface ProbeOptions {
  /** Path of the kernel's config, for a kernel that doesn't show its own. */
  readonly config?: string
}

/**
 * Tries in the machine what its kernel can do (src/kernels/features.ts lists it); as soon as the guest has set itself up. Never throws: what could
 * not be asked is unknown, with the reason. Leaves nothing in the machine.
 */
export async function probeFeatures(machine: ProbedNode, ctx: Context, options: ProbeOptions = {}): Promise<FeatureTable> {
  const { name: node, handle: { kernel } } = machine
  try {
    const program = readFileSync(await ensureProbe(ctx))
    await waitForGuest(machine, { signal: ctx.signal })
    const result = await inStep(ctx.progress, `${node}: probe of features`, () => machine.exec(script, { stdin: program, timeoutMs: TIMEOUT_MS, signal: ctx.signal, allowFailure: true, blame: 'guest kernel' }))
    return { node, kernel, features: tableOf(result, `the probe ended with exit code ${result.exitCode} before it came to this: ${result.stderr.trim()}`, options) }
  } catch (error) {
    const partial = error instanceof GuestCommandError ? error.result : undefined
    return { node, kernel, features: tableOf(partial, error instanceof Error ? error.message : String(error), options) }
  }
}

function tableOf(result: Pick<ExecResult, 'stdout'> | undefined, missing: string, { config }: ProbeOptions): FeatureTable['features'] {
  const [probed = '', ownConfig = ''] = (result?.stdout ?? '').split(CONFIG_MARK)
  const known = ownConfig.trim() !== '' ? ownConfig : config === undefined ? undefined : readFileSync(config, 'utf8')
  return completed([...parseProbe(probed), ...parseConfig(known)], missing)
}
