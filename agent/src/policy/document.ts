import { parseAllDocuments } from 'yaml'
import * as z from 'zod/mini'
import { fromCiliumNetworkPolicy, fromRules } from './ciliumpolicy.ts'
import type { Rule } from './rule.ts'
import { InvalidRule } from './sanitize.ts'

const resource = z.looseObject({ kind: z.literal('CiliumNetworkPolicy'), metadata: z.looseObject({ name: z.string(), namespace: z.optional(z.string()) }), spec: z.optional(z.unknown()), specs: z.optional(z.array(z.unknown())) })

/**
 * The rules of a file, JSON or YAML: one rule, a list of them, or CiliumNetworkPolicies. Throws InvalidRule with what is wrong; what lash can't enforce
 * as it stands is wrong too.
 */
export function parsePolicy(text: string): Rule[] {
  return documents(text).flatMap((document) => {
    const found = resource.safeParse(document)
    if (found.success) {
      const { rules, unsupported } = fromCiliumNetworkPolicy(found.data as Parameters<typeof fromCiliumNetworkPolicy>[0])
      if (unsupported.length > 0) throw new InvalidRule(unsupported.join('; '))
      return rules
    }
    return fromRules(Array.isArray(document) ? document : [document])
  })
}

function documents(text: string): unknown[] {
  if (text.trim() === '') throw new InvalidRule('empty policy: no rule in it')
  // Every JSON text is YAML, but what is wrong with one that begins like JSON is better told by its own parser.
  if (/^\s*[[{]/.test(text)) {
    try { return [JSON.parse(text)] } catch (error) { throw new InvalidRule(`malformed policy: ${(error as Error).message}`, { cause: error }) }
  }
  return parseAllDocuments(text).map((document) => {
    if ('errors' in document && document.errors[0] !== undefined) throw new InvalidRule(`malformed policy: ${document.errors[0].message}`)
    return (document as { toJS: () => unknown }).toJS()
  }).filter((document) => document !== null)
}
