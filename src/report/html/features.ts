import type { Feature, FeatureState } from '../load.ts'
import type { Run } from './cells.ts'
import { html, type Markup } from './markup.ts'

const shown: Readonly<Record<FeatureState, { readonly symbol: string; readonly text: string; readonly status: string }>> = {
  supported: { symbol: '✓', text: 'supported', status: 'passed' },
  unsupported: { symbol: '✗', text: 'unsupported', status: 'skipped' },
  unknown: { symbol: '?', text: 'could not tell', status: 'error' },
}

const stateOf = (state: FeatureState): Markup => html`<span class="mark ${shown[state].status}" role="img" aria-label="${shown[state].text}">${shown[state].symbol}</span>`

/** Kernel × feature, when two runs or more were probed. */
export function featureMatrix(runs: readonly Run[]): Markup {
  const probed = runs.filter((run) => run.features?.length)
  if (probed.length < 2) return html``
  const all = [...new Set(probed.flatMap((run) => (run.features ?? []).map((feature) => feature.name)))].sort()
  // What tells the kernels apart comes first.
  const differs = (name: string): boolean => new Set(probed.map((run) => run.features?.find((feature) => feature.name === name)?.state)).size > 1
  const names = [...all.filter(differs), ...all.filter((name) => !differs(name))]
  return html`<section aria-labelledby="features"><h2 id="features">Kernel features</h2><details data-print><summary>${names.length} probed on ${probed.length} kernels, ${names.filter(differs).length} differ</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Kernel features"><table class="features">
<thead><tr><th scope="col">Feature</th>${probed.map((run) => html`<th scope="col">${run.label}</th>`)}</tr></thead>
<tbody>${names.map((name) => html`<tr><th scope="row">${name}</th>${probed.map((run) => cell(run, name))}</tr>
`)}</tbody></table></div></details></section>`
}

function cell(run: Run, name: string): Markup {
  const feature = run.features?.find((candidate) => candidate.name === name)
  if (!feature) return html`<td title="not probed">·</td>`
  return html`<td${feature.note !== undefined && html` title="${feature.note}"`}>${stateOf(feature.state)}</td>`
}

/** One kernel's features: what it lacks or could not tell first, with notes. */
export function features(run: Run): Markup {
  const all = run.features ?? []
  if (all.length === 0) return html``
  const rank: Readonly<Record<FeatureState, number>> = { unknown: 0, unsupported: 1, supported: 2 }
  const count = (state: FeatureState): number => all.filter((feature) => feature.state === state).length
  const sorted: readonly Feature[] = [...all].sort((a, b) => rank[a.state] - rank[b.state] || a.name.localeCompare(b.name))
  return html`<h3>Kernel features</h3><details data-print><summary>${count('supported')} supported, ${count('unsupported')} unsupported, ${count('unknown')} could not tell</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Features of ${run.label}"><table class="features one"><thead><tr><th scope="col">Feature</th><th scope="col">Probe</th><th scope="col">Note</th></tr></thead>
<tbody>${sorted.map((feature) => html`<tr><th scope="row">${feature.name}</th><td>${stateOf(feature.state)} ${shown[feature.state].text}</td><td>${feature.note}</td></tr>
`)}</tbody></table></div></details>`
}
