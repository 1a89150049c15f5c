import { describe, expect, it } from 'vitest'
import { configOptions, features } from '../kernels/features.ts'
import { completed, parseConfig, parseProbe } from './parse.ts'

describe('what the probe printed', () => {
  it('is read line by line; a line cut off, or of something else, is left out', () => {
    const stdout = '{"name":"map:hash","state":"supported"}\nsh: warning\n{"name":"map:array","state":"unsupported","note":"a \\"b\\""}\n{"name":"map:x","state":"maybe"}\n{"name":"map:lpm'
    expect(parseProbe(stdout)).toEqual([{ name: 'map:hash', state: 'supported' }, { name: 'map:array', state: 'unsupported', note: 'a "b"' }])
  })

  it('makes a whole table, with the reason for what is missing', () => {
    const table = completed([{ name: 'map:array', state: 'supported' }, { name: 'map:of_a_later_probe', state: 'supported' }], 'the probe was killed')
    expect(table.map(({ name }) => name)).toEqual(features.map(({ name }) => name))
    expect(table.filter(({ state }) => state === 'supported')).toEqual([{ name: 'map:array', state: 'supported' }])
    expect(table[0]).toEqual({ name: 'map:hash', state: 'unknown', note: 'the probe was killed' })
  })
})

describe('a kernel\'s config', () => {
  it('tells which options are set', () => {
    const found = new Map(parseConfig('CONFIG_BPF=y\nCONFIG_VXLAN=m\n# CONFIG_GENEVE is not set\nCONFIG_VETH_X=y\n').map(({ name, state, note }) => [name, `${state} (${note ?? ''})`]))
    expect([...found.keys()]).toEqual(configOptions.map((option) => `config:${option}`))
    expect(['BPF', 'VXLAN', 'GENEVE', 'VETH'].map((option) => found.get(`config:${option}`))).toEqual(['supported (built in)', 'supported (module)', 'unsupported (not set)', 'unsupported (not set)'])
  })

  it('that is not known tells nothing', () => {
    expect(new Set(parseConfig(undefined).map(({ state }) => state))).toEqual(new Set(['unknown']))
    expect(parseConfig('')[0]?.note).toContain('CONFIG_IKCONFIG_PROC')
  })
})
