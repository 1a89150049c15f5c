import { describe, expect, it } from 'vitest'
import { atLeast } from '../core/versions.ts'
import { catalogue } from './catalogue.ts'
import { comesWith, configOptions, features, findFeature, linesWith, mustHave, type Feature } from './features.ts'

const feature = (name: string): Feature => findFeature(name) ?? expect.fail(`no feature ${name}`)
const allSet = (): boolean => true
const noneSet = (): boolean => false

describe('the list of features', () => {
  it('that the agent works without on a line came after it', () => {
    for (const { name, without = [] } of catalogue) for (const lacking of without) expect(comesWith(feature(lacking), name), `${lacking} on ${name}`).toBe(false)
    expect(catalogue.some(({ without = [] }) => without.length > 0)).toBe(true)
  })

  it('names each once, with the release that brought it', () => {
    expect(new Set(features.map(({ name }) => name)).size).toBe(features.length)
    expect(features.filter(({ since }) => !/^\d\.\d+$/.test(since))).toEqual([])
  })

  it('has every option that a feature hangs on as a feature of its own', () => {
    expect(configOptions.map((option) => findFeature(`config:${option}`)?.title)).toEqual(configOptions.map((option) => `CONFIG_${option}`))
  })

  it('makes exceptions only of lines that the catalogue has, and from the release on that brought the feature', () => {
    const lines = new Set(catalogue.map(({ name }) => name))
    for (const { name, since, except } of features) for (const line of Object.keys(except)) expect(lines.has(line) && atLeast(line, since), `${name} on ${line}`).toBe(true)
  })
})

describe('a line', () => {
  it('is compared by numbers, and newest has everything', () => {
    expect(['4.4', '4.10', '5.2', '6.12', 'newest'].map((line) => atLeast(line, '4.9'))).toEqual([false, true, true, true, true])
  })

  it('lacks what an exception says', () => {
    expect(comesWith({ ...feature('map:lpm_trie'), except: { '4.14': 'left out' } }, '4.14')).toBe(false)
  })

  it.each([
    ['map:lpm_trie', '4.9', allSet, false],
    ['map:lpm_trie', '4.14', noneSet, true],
    ['attach:tc-clsact', '4.9', noneSet, true],
    ['attach:tc-clsact', '4.4', allSet, false],
    ['map:xskmap', '6.1', noneSet, false],
    ['map:xskmap', '6.1', allSet, true],
    ['config:VXLAN', '6.1', allSet, false],
  ] as const)('must have %s: %s', (name, line, isSet, expected) => {
    expect(mustHave(feature(name), line, isSet)).toBe(expected)
  })
})

describe('lines on which a test would run', () => {
  it('have all that it needs, and an agent that works', () => {
    expect(linesWith([feature('map:hash')])).not.toContain('4.4')
    expect(linesWith([feature('map:lpm_trie')])).toEqual(expect.arrayContaining(['4.14', '6.1', 'newest']))
    expect(linesWith([feature('map:lpm_trie')])).not.toContain('4.9')
  })

  it('may be none', () => {
    expect(linesWith([{ ...feature('map:lpm_trie'), except: Object.fromEntries(catalogue.map(({ name }) => [name, 'never'])) }])).toEqual([])
  })
})
