import { describe, expect, it } from 'vitest'
import { expectationOf, planSuites, refusalNote } from './expectation.ts'

const known = ['connectivity', 'policy', 'refusal']

describe('what is expected of the agent', () => {
  it('is told by the line of the release', () => expect([['mine', '4.4'], ['4.9.154', '4.9'], ['mine', '7.2']].map(([name = '', line = '']) => expectationOf({ name, line }))).toEqual(['refuses', 'works', 'works']))
  it('is told first by the name that the user gave', () => expect([expectationOf({ name: '4.4', line: '4.9' }), expectationOf({ name: '6.1', line: '4.4' })]).toEqual(['refuses', 'works']))
})

describe('suites', () => {
  it('where the agent works: all but the one for refusal, which nobody misses', () => expect(planSuites([], known, 'works', '6.1')).toEqual({ run: ['connectivity', 'policy'], notRun: [] }))

  it('where the agent must refuse: that one, and why not the others', () => {
    const reason = 'the agent must refuse to start on 4.4'
    expect(planSuites([], known, 'refuses', '4.4')).toEqual({ run: ['refusal'], notRun: [{ suite: 'connectivity', reason }, { suite: 'policy', reason }] })
    expect(planSuites(['refusal'], known, 'refuses', '4.4')).toEqual({ run: ['refusal'], notRun: [] })
  })

  it('asked for where it cannot run: why', () => expect(planSuites(['refusal', 'policy'], known, 'works', '6.1')).toEqual({
    run: ['policy'], notRun: [{ suite: 'refusal', reason: 'the agent must work on 6.1; the suite is for kernels that it must refuse' }],
  }))
})

describe('the note of a run that passed by refusing', () => {
  const fatal = 'level=fatal msg="kernel version: NOT OK: minimal supported kernel version is >= 4.8.0; kernel version that is running is: 4.4.178" subsys=daemon'
  const test = { suite: 'refusal', name: 'says why', status: 'passed', ms: 1 } as const

  it('has the fatal line that the suite found', async () => expect(await refusalNote('lash', [test, { ...test, notes: ['x', fatal] }])).toBe(`refused, as expected: ${fatal}`))
  it('is none when it found none', async () => expect(await refusalNote('lash', [test, { ...test, notes: ['level=error msg="qdisc clsact"'] }])).toBeUndefined())
})
