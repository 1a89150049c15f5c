import type { KvstoreModel } from '../api/kvstore.ts'
import { isGiven, type ParsedFlags } from '../config/flags.ts'
import { ask } from './ask.ts'
import { call } from './client.ts'
import { CommandError, type Group } from './command.ts'
import { outputFlags, render } from './output.ts'

const recursive = { recursive: { type: 'bool', usage: 'All keys that begin with it' } } as const
const wanted = (parsed: ParsedFlags): { key: string; recursive: boolean } => ({ key: parsed.args[0] ?? '', recursive: isGiven(parsed, 'recursive') })

/** Reads and writes what agents keep in the kvstore, by the agent's own connection. */
export const kvstore: Group = {
  short: 'Direct access to the kvstore',
  commands: {
    get: {
      short: 'Retrieve a key', usage: '[options] <key>', args: { max: 1 }, flags: { ...outputFlags, ...recursive },
      run: async (parsed) => {
        const what = wanted(parsed)
        const found = await ask(what.recursive ? 'Unable to list keys' : 'Unable to retrieve key', () => call<KvstoreModel>('POST', '/v1/kvstore/get', what))
        return render(parsed, found, (pairs) => Object.entries(pairs).map(([key, value]) => `${key} => ${value}\n`).join(''))
      },
    },
    set: {
      short: 'Set a key and value', usage: '--key <key> --value <value>', flags: { key: { type: 'string', usage: 'Key' }, value: { type: 'string', usage: 'Value' } },
      run: async ({ values }) => {
        const [key, value] = ['key', 'value'].map((name) => values.get(name)?.at(-1))
        if (key === undefined || value === undefined) throw new CommandError('--key and --value are both required')
        await ask('Unable to set key', () => call('POST', '/v1/kvstore/set', { key, value }))
        return ''
      },
    },
    delete: {
      short: 'Delete a key', usage: '[options] <key>', args: { min: 1, max: 1 }, flags: recursive,
      run: async (parsed) => {
        await ask('Unable to delete key', () => call('POST', '/v1/kvstore/delete', wanted(parsed)))
        return ''
      },
    },
  },
}
