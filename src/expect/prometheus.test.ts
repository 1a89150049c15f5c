import { expect, it } from 'vitest'
import { parseMetrics } from './prometheus.ts'

it('reads the samples of a scrape', () => {
  const text = '# HELP cilium_drop_count_total Total dropped packets\n# TYPE cilium_drop_count_total counter\ncilium_drop_count_total{reason="Policy denied (L3)",direction="INGRESS"} 12\ncilium_endpoint_count 3\ncilium_x{a="q\\"\\n,}"} 1.5e+03 1700000000\n'
  expect(parseMetrics(text)).toEqual([
    { name: 'cilium_drop_count_total', labels: { reason: 'Policy denied (L3)', direction: 'INGRESS' }, value: 12 }, { name: 'cilium_endpoint_count', labels: {}, value: 3 }, { name: 'cilium_x', labels: { a: 'q"\n,}' }, value: 1500 },
  ])
})
