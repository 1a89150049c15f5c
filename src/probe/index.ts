/** What the kernels of running machines can do, tried in the machines, and what follows for tests. */
export { ensureProbe } from './build.ts'
export { deviations, skipReason } from './gate.ts'
export { probeFeatures, type ProbedNode, type ProbeOptions } from './probe.ts'
export { combined, saveFeatures } from './save.ts'
export { featureTableText } from './text.ts'
export { featureTablesSchema, type FeatureState, type FeatureTable, type ProbedFeature } from './types.ts'
