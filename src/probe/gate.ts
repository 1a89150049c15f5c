import { didYouMean } from '../core/closest.ts'
import { KernelbedError } from '../core/errors.ts'
import { features, findFeature, linesWith, mustHave, type Feature } from '../kernels/features.ts'
import type { FeatureTable, ProbedFeature } from './types.ts'

/**
 * Whether a test that needs these features runs on these machines: undefined when it does, else why it is skipped. Only a probe's `unsupported`
 * skips; what could not be told is tried. Throws KernelbedError where a skip would hide something: a feature that nobody knows, a test that no
 * kernel of the catalogue would ever run (`lines` answers those that would), or a kernel that lacks what kernels of its line must have.
 */
export function skipReason(needs: readonly string[], machines: readonly FeatureTable[], lines: (needed: readonly Feature[]) => readonly string[] = linesWith): string | undefined {
  const needed = needs.map(known)
  if (needed.length && lines(needed).length === 0) {
    throw new KernelbedError(`no kernel of the catalogue would ever run this test: it needs ${needed.map(described).join(' and ')}`, { blame: 'test', hint: 'name features that a line of kernels/ has, all of them together' })
  }
  const lacking = machines.flatMap((machine) => needed.flatMap((feature) => {
    const found = stateIn(machine, feature.name)
    return found?.state === 'unsupported' ? [{ machine, feature, found }] : []
  }))
  const wrong = lacking.filter(({ machine, feature }) => isDue(feature, machine))
  if (wrong.length) {
    throw new KernelbedError(wrong.map(({ machine, feature, found }) => missing(machine, feature, found)).join('\n'), { blame: 'guest kernel', hint: 'a kernel that must have a feature cannot skip its tests: build it with the options named, or correct kernels/ or src/kernels/features.ts' })
  }
  return lacking.length ? reasons(lacking).join('; ') : undefined
}

interface Lack { readonly machine: FeatureTable; readonly feature: Feature; readonly found: ProbedFeature }

/** One for each feature and kernel: `needs X, which node1, node2 (4.9.154) lack: EINVAL`. */
function reasons(lacking: readonly Lack[]): string[] {
  const groups = Map.groupBy(lacking, ({ machine, feature, found }) => JSON.stringify([feature.name, machine.kernel.release, found.note]))
  return [...groups.values()].map((group) => {
    const { machine, feature, found } = group[0]!
    return `needs ${described(feature)}, which ${group.map((lack) => lack.machine.node).join(', ')} (${machine.kernel.release}) ${group.length > 1 ? 'lack' : 'lacks'}${found.note === undefined ? '' : `: ${found.note}`}`
  })
}

/** Where a machine's kernel is not what the catalogue says of its line: one sentence for each feature it must have, and has not or may not have. */
export function deviations(machine: FeatureTable): string[] {
  return features.filter((feature) => isDue(feature, machine)).flatMap((feature) => {
    const found = stateIn(machine, feature.name)
    return found?.state === 'supported' ? [] : [missing(machine, feature, found)]
  })
}

function known(name: string): Feature {
  const feature = findFeature(name)
  if (feature) return feature
  throw new KernelbedError(`this test needs "${name}", which is no feature${didYouMean(name, features.map((candidate) => candidate.name))}`, { blame: 'test', hint: 'src/kernels/features.ts lists them' })
}

const stateIn = (machine: FeatureTable, name: string): ProbedFeature | undefined => machine.features.find((feature) => feature.name === name)

const isDue = (feature: Feature, machine: FeatureTable): boolean => mustHave(feature, machine.kernel.line, (option) => stateIn(machine, `config:${option}`)?.state === 'supported')

const described = ({ name, since }: Feature): string => (name.startsWith('config:') ? name : `${name} (Linux ${since})`)

function missing({ node, kernel }: FeatureTable, feature: Feature, found: ProbedFeature | undefined): string {
  const state = found?.state === 'unsupported' ? 'has not' : 'perhaps has not'
  const why = found?.note === undefined ? '' : ` (${found.note})`
  return `${node}: kernels of ${kernel.line} must have ${described(feature)}, ${feature.title}; ${kernel.release} ${state}${why}. It usually comes with ${feature.config.map((option) => `CONFIG_${option}`).join(', ')}`
}
