/** What a probe found; `unknown` is never a guess at one of the others. */
export type FeatureState = 'supported' | 'unsupported' | 'unknown'

/** One feature of a running kernel, as tried in the machine. JSON. */
export interface ProbedFeature {
  /** As in src/kernels/features.ts: `map:lpm_trie`. */
  readonly name: string
  readonly state: FeatureState
  /** The kernel's errno or the verifier's verdict; for `unknown`, why it could not be told. */
  readonly note?: string
}

/** What one machine's kernel can do. JSON. */
export interface FeatureTable {
  readonly node: string
  readonly kernel: { readonly name: string; readonly release: string; readonly line: string }
  readonly features: readonly ProbedFeature[]
}
