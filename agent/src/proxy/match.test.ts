import { describe, expect, it } from 'vitest'
import { compilePattern, compileRule, headerRule } from './match.ts'

const request = (change: object = {}) => ({ method: 'GET', path: '/v1/a', host: 'deathstar:80', rawHeaders: ['X-Key', 'true', 'Accept', '*/*'], ...change })

describe('a rule', () => {
  it.each([
    [{}, {}, true],
    [{ method: 'GET|POST' }, {}, true], [{ method: 'GE' }, {}, false], [{ method: 'ET' }, {}, false], [{ method: 'get' }, {}, false],
    [{ path: '/v1/a' }, {}, true], [{ path: '/v1' }, {}, false], [{ path: 'v1/a' }, {}, false], [{ path: '/v1/[[:alpha:]]' }, {}, true], [{ path: '/v1/.*' }, { path: '/v1/a?b=c' }, true], [{ path: '/v1/a' }, { path: '/v1/a?b=c' }, false],
    [{ host: 'deathstar:80' }, {}, true], [{ host: 'deathstar' }, {}, false],
    [{ headers: ['X-Key'] }, {}, true], [{ headers: ['x-key: true'] }, {}, true], [{ headers: ['X-Key true'] }, {}, true], [{ headers: ['X-Key false'] }, {}, false], [{ headers: ['X-Other'] }, {}, false], [{ headers: ['X-Key', 'Accept */*'] }, {}, true],
    [{ method: 'GET', path: '/v1/a', host: 'deathstar.*', headers: ['X-Key'] }, {}, true], [{ method: 'GET', path: '/v1/b' }, {}, false],
    // A server may take dot segments and escapes out before it looks.
    [{ path: '/public/.*' }, { path: '/public/../admin' }, false], [{ path: '/public/.*' }, { path: '/public/%2e%2E/admin' }, false], [{ path: '/public/.*' }, { path: '/public/a/../b' }, true], [{ path: '/a' }, { path: '/%61' }, false],
    [{ path: '/public/.*' }, { path: '/public\\..\\admin' }, false],
  ])('%j on %j: %s', (rule, change, matches) => expect(compileRule(rule)(request(change))).toBe(matches))

  it('whose pattern is wrong says how', () => {
    expect(() => compilePattern('/v1/[a')).toThrow(/missing closing \]/)
    expect(() => compilePattern('(')).toThrow(/missing closing \)/)
    expect(() => compilePattern('a(?=b)')).toThrow(/invalid/)
  })

  it('takes no longer for a text that backtracking would never end on', () => {
    const matches = compilePattern('(a+)+b')
    const start = performance.now()
    expect(matches('a'.repeat(16_000))).toBe(false)
    expect(performance.now() - start).toBeLessThan(5000)
  })

  it('names a header by a token', () => {
    expect(headerRule('X-Key: a b')).toEqual({ name: 'x-key', value: 'a b' })
    expect([headerRule(''), headerRule(' x'), headerRule('a(b')]).toEqual([undefined, undefined, undefined])
  })
})
