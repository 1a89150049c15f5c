export { catalogue, catalogueNames, findInCatalogue, type CatalogueKernel, type KernelSource, type Lack } from './catalogue.ts'
export { resolveKernel } from './resolve.ts'
export { checkKernelSpec, type KernelOptions, type KernelSpec } from './spec.ts'
export type { Kernel } from './types.ts'
