import { kernels } from '../../kernels/index.ts'

/** Where a catalogue line's kernel is fetched from. */
export type KernelSource =
  /** Debian suites to take `package` from, tried in order; the suite's security updates are included. */
  | { readonly from: 'debian'; readonly suites: readonly string[]; readonly package: string }
  /** Not in Debian any more: the user passes an image. */
  | { readonly from: 'file' }

/** One kernel line of `kernels/`. */
export interface CatalogueKernel {
  /** What `--kernel` takes: `6.1`, `newest`. */
  readonly name: string
  readonly source: KernelSource
  /** Whether a Cilium-like agent must work here, or must refuse to start and say why. */
  readonly agent: 'works' | 'refuses'
  /** Why, when it is not plain. */
  readonly note?: string
}

/** All lines, oldest first. */
export const catalogue: readonly CatalogueKernel[] = kernels

export const catalogueNames: readonly string[] = catalogue.map((kernel) => kernel.name)

export const findInCatalogue = (name: string): CatalogueKernel | undefined => catalogue.find((kernel) => kernel.name === name)
