import { expect, test } from 'vitest'
import { Registry, type Owned } from './registry.ts'

test('resources are released in reverse order, each once', async () => {
  const order: string[] = []
  const registry = new Registry()
  registry.claim('a', () => void order.push('a'))
  const b = registry.claim('b', () => void order.push('b'))
  registry.claim('c', () => void order.push('c'))
  await b.release()
  await registry.releaseAll()
  expect(order).toEqual(['b', 'c', 'a'])
})

test('one failing release does not keep the others, and all errors are gathered', async () => {
  const released: string[] = []
  const registry = new Registry()
  registry.claim('first', () => void released.push('first'))
  registry.claim('second', () => Promise.reject(new Error('stuck')))
  registry.claim('third', () => Promise.reject(new Error('gone')))
  await expect(registry.releaseAll()).rejects.toThrow('2 resource(s) could not be released')
  expect(released).toEqual(['first'])
})

test('the guard hears what is held, and what has been let go', async () => {
  const heard: string[] = []
  const tell = (word: string) => (owned: Owned) => void heard.push(`${word} ${owned.kind === 'path' ? owned.path : owned.kind === 'process' ? owned.pid : owned.argv.join(' ')}`)
  const registry = new Registry({ hold: tell('hold'), drop: tell('drop') })
  const claim = registry.claim('folder', () => undefined)
  claim.hold({ kind: 'path', path: '/x' })
  expect(heard).toEqual(['hold /x'])
  await registry.releaseAll()
  expect(heard).toEqual(['hold /x', 'drop /x'])
})

test('a child can be given up alone, and goes with its parent otherwise; what both hold is seen from above', async () => {
  const order: string[] = []
  const registry = new Registry()
  registry.claim('first', () => void order.push('first'))
  const given = registry.child('attempt')
  given.claim('given up', () => void order.push('given up')).hold({ kind: 'path', path: '/a' })
  expect(registry.held.map(({ name }) => name)).toEqual(['first', 'given up'])
  await given.releaseAll()
  expect(order).toEqual(['given up'])
  const kept = registry.child('second attempt')
  kept.claim('kept', () => void order.push('kept'))
  registry.claim('last', () => void order.push('last'))
  await registry.releaseAll()
  expect(order).toEqual(['given up', 'last', 'kept', 'first'])
})
