import { Script } from 'node:vm'
import { expect, test } from 'vitest'
import { clientScript } from './client.ts'
import { matching, type FlowQuery } from './filter.ts'

const rows = [
  [1, 'node1', 'trace', 'to-endpoint', '10.0.0.1:1 -> 10.0.0.2:80 tcp SYN', 'new', ''],
  [2, 'node1', 'drop', 'Policy denied', '10.0.0.1:1 -> 10.0.0.2:80 tcp SYN', '', ''],
  [1, 'node2', 'drop', 'CT: Map insertion failed', '10.0.0.3 -> 10.0.0.2 EchoRequest', '', ''],
] as const
const haystacks = rows.map((row) => row.slice(1).join('\n').toLowerCase())
const find = (query: Partial<FlowQuery>): number[] => matching(rows, haystacks, { text: '', type: '', verdict: '', node: '', ...query })

test('an empty filter matches everything', () => expect(find({})).toEqual([0, 1, 2]))
test('words must all be there, in any case and column', () => expect(find({ text: 'syn POLICY' })).toEqual([1]))
test('a word after a minus must not be there', () => expect(find({ text: '10.0.0.2 -syn' })).toEqual([2]))
test('an arrow is text, not an exclusion, and a lone minus is still being typed', () => expect(find({ text: '-> -' })).toEqual([0, 1, 2]))
test('type, verdict and node are exact and combine', () => {
  expect(find({ type: 'drop', node: 'node1' })).toEqual([1])
  expect(find({ verdict: 'Policy' })).toEqual([])
  expect(find({ verdict: 'Policy denied', text: 'echo' })).toEqual([])
})

test('the script of the page is a script, and carries the filter without types', () => {
  const script = clientScript()
  expect(() => new Script(script)).not.toThrow()
  expect(script).not.toContain('FlowQuery')
  expect(script).not.toContain('</script')
})
