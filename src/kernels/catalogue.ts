import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { compareVersions } from '../core/versions.ts'
import type { FeatureName } from './features.ts'

/** Debian suites to take `package` from, tried in order: any that the mirror of the host's apt carries. A suite's security updates are included. */
export interface DebianSource { readonly from: 'debian'; readonly suites: readonly string[]; readonly package: string }

/** Where a catalogue line's kernel can be had. */
export type KernelSource =
  /** The folder or URL of KERNELBED_MIRROR, laid out like Ubuntu's mainline archive; the newest of the line that it has. */
  | { readonly from: 'mirror' }
  | DebianSource
  /** Ubuntu's mainline archive: this version, or the newest of the line that it has where it lacks that, or none is named. */
  | { readonly from: 'mainline'; readonly version?: string }

/** One kernel line: a file of `kernels/`, named after it. */
export interface CatalogueKernel {
  /** What `--kernel` takes: `6.1`, `newest`. A line by number is the line of its mirror and mainline sources. */
  readonly name: string
  /** In order of preference. */
  readonly sources: readonly KernelSource[]
  /** Options that its config must have, built in or as modules. */
  readonly config: readonly string[]
  /** Whether a Cilium-like agent must work here, or must refuse to start and say why. */
  readonly agent: 'works' | 'refuses'
  /** What it works without here: features by the names of features.ts, which has the version that brought each. */
  readonly without?: readonly FeatureName[]
  /** Why, when it is not plain. */
  readonly note?: string
}

const folder = resolve(import.meta.dirname, '../../kernels')

async function load(file: string): Promise<CatalogueKernel> {
  const { default: kernel } = (await import(pathToFileURL(join(folder, file)).href)) as { default?: CatalogueKernel }
  if (kernel === undefined || `${kernel.name}.ts` !== file) throw new Error(`kernels/${file} must export by default the kernel line of its name`)
  return kernel
}

/** Every file of `kernels/`, oldest line first. */
export const catalogue: readonly CatalogueKernel[] = (await Promise.all(readdirSync(folder).filter((file) => /^[^.].*(?<!\.test)\.ts$/.test(file)).map(load))).sort((a, b) => compareVersions(a.name, b.name))

export const catalogueNames: readonly string[] = catalogue.map((kernel) => kernel.name)

export const findInCatalogue = (name: string): CatalogueKernel | undefined => catalogue.find((kernel) => kernel.name === name)
