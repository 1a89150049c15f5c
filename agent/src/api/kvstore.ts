import * as z from 'zod/mini'
import { KvstoreError, type Kvstore } from '../kvstore/client.ts'
import { ApiError, bodyAs, type Routes } from './http.ts'

/** A value, or all of those with a prefix; keys as they are. */
export type KvstoreModel = Record<string, string>

const wanted = z.object({ key: z.string(), recursive: z.optional(z.boolean()) })
const given = z.object({ key: z.string().check(z.minLength(1)), value: z.string() })

/** What `cilium kvstore` asks for. */
export function kvstoreRoutes(store: Kvstore | undefined): Routes {
  const used = (): Kvstore => {
    if (store === undefined) throw new ApiError(404, 'this agent uses no kvstore: its setting kvstore is empty')
    return store
  }
  return {
    'POST /v1/kvstore/get': async ({ body }) => {
      const { key, recursive = false } = bodyAs(wanted, await body())
      return { body: (recursive ? await entries(used(), key) : await one(used(), key)) satisfies KvstoreModel }
    },
    'POST /v1/kvstore/set': async ({ body }) => {
      const { key, value } = bodyAs(given, await body())
      await reached(used().put(key, value))
      return { body: null }
    },
    'POST /v1/kvstore/delete': async ({ body }) => {
      const { key, recursive = false } = bodyAs(wanted, await body())
      if (key === '') throw new ApiError(400, 'name a key')
      await reached(used().delete(key, { recursive }))
      return { body: null }
    },
  }
}

const entries = async (store: Kvstore, prefix: string): Promise<KvstoreModel> => Object.fromEntries([...(await reached(store.list(prefix))).entries].map(([key, { value }]) => [key, value]))

async function one(store: Kvstore, key: string): Promise<KvstoreModel> {
  const value = await reached(store.get(key))
  if (value === undefined) throw new ApiError(404, `there is no key ${key}`)
  return { [key]: value }
}

async function reached<T>(answer: Promise<T>): Promise<T> {
  try { return await answer } catch (error) {
    if (error instanceof KvstoreError) throw new ApiError(503, error.message)
    throw error
  }
}
