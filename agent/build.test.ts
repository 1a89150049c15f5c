import { expect, it } from 'vitest'
import { buildAgent, UnknownFault } from './build.ts'
import { defineOf, faults } from './faults.ts'

it('names the nearest fault', async () => {
  const error: unknown = await buildAgent({ outDir: '/nonexistent', fault: 'wrong-vmi' }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(UnknownFault)
  expect(String(error)).toContain('unknown fault "wrong-vmi", did you mean "wrong-vni"?')
})

it('makes a define of a name', () => {
  expect(Object.keys(faults)).toContain('policy-forgets-drop')
  expect(defineOf('policy-forgets-drop')).toBe('-DFAULT_POLICY_FORGETS_DROP')
})
