import { existsSync, readFileSync } from 'node:fs'
import { replaceFile } from '../files.ts'
import { messageOf, type Logger } from '../log.ts'
import { fromRules } from './ciliumpolicy.ts'
import type { RuleStore } from './repository.ts'

/** Rules in one JSON file, in the form that `cilium policy get` prints. */
export function ruleFile(path: string, log: Logger): RuleStore {
  return {
    load: () => {
      if (!existsSync(path)) return []
      try {
        return fromRules(JSON.parse(readFileSync(path, 'utf8')) as unknown[])
      } catch (error) {
        log.error('Unable to read imported policy rules, they are not in force: import them again', { path, error: messageOf(error) })
        return []
      }
    },
    save: (rules) => replaceFile(path, `${JSON.stringify(rules, null, 2)}\n`),
  }
}
