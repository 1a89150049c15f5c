import { describe, expect, it } from 'vitest'
import { plotsSvg } from './plot.ts'
import { kubeProxyRules } from './rules.ts'

const service = (n: number) => ({ name: `s${n}`, ip: `10.96.1.${n}`, port: 80, backend: { ip: '10.77.2.2', port: 8080 } })

describe('rules as kube-proxy writes them', () => {
  const lines = kubeProxyRules([service(1), service(2)], '10.77.1.0/24').split('\n')

  it('has a chain for each service and each backend, made before it is used', () => {
    const made = lines.filter((line) => line.startsWith(':')).map((line) => line.slice(1).split(' ')[0])
    const jumps = lines.flatMap((line) => / -j (KUBE-\S+)$/.exec(line)?.[1] ?? [])
    expect(new Set(made).size).toBe(made.length)
    expect(made.filter((name) => /^KUBE-S(VC|EP)-[A-Z2-7]{16}$/.test(name!))).toHaveLength(4)
    for (const jump of jumps) expect(made).toContain(jump)
  })

  it('goes from the service\'s address to the backend, in one list of all services', () => {
    expect(lines.filter((line) => line.startsWith('-A KUBE-SERVICES')).map((line) => /-d (\S+) /.exec(line)?.[1])).toEqual(['10.96.1.1/32', '10.96.1.1/32', '10.96.1.2/32', '10.96.1.2/32'])
    expect(lines.filter((line) => line.includes('--to-destination 10.77.2.2:8080'))).toHaveLength(2)
    expect(lines.slice(-2)).toEqual(['COMMIT', ''])
  })
})

describe('a plot', () => {
  const svg = plotsSvg([{ title: 'a <title>', unit: 'ms', x: 'services', xs: [10, 100, 1000], curves: [{ name: 'flat', values: [1, 1, 1] }, { name: 'steep', values: [1, 10, 100] }] }])
  const points = [...svg.matchAll(/points="([^"]*)"/g)].map(([, text]) => text!.split(' ').map((point) => point.split(',').map(Number) as [number, number]))

  it('has a curve for each side, with a point for each x, at even distances on logarithmic axes', () => {
    const [flat, steep] = points
    expect(new Set(flat!.map(([, y]) => y)).size).toBe(1)
    expect(steep!.map(([, y], i) => i === 0 ? 0 : Math.round(steep![i - 1]![1] - y))).toEqual([0, 88, 88])
    expect(Math.round(steep![1]![0] - steep![0]![0])).toBe(Math.round(steep![2]![0] - steep![1]![0]))
  })

  it('escapes what it is told', () => {
    expect(svg).toContain('a &#60;title&#62;, ms')
    expect(svg).toContain('>1,000<')
  })
})
