import { expect, test } from 'vitest'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { MonitorOptions, type EndpointOptions } from './options.ts'

function node(): { options: MonitorOptions; endpoints: Endpoint[]; debugs: boolean[] } {
  const endpoints = [7, 8].map((id) => ({ id, record: {} }) as Endpoint)
  const debugs: boolean[] = []
  const options = new MonitorOptions({
    debug: false, setDebug: (on) => debugs.push(on), logDebug: () => undefined,
    endpoints: { list: () => endpoints, get: (id) => endpoints.find((each) => each.id === id), setOptions: ({ record }, wanted: EndpointOptions) => { record.options = { ...record.options, ...wanted } } },
  })
  return { options, endpoints, debugs }
}

/** An event's type and the endpoint it is of. */
const event = (type: number, endpoint: number): Buffer => Buffer.from([type, 0, endpoint, 0])
const debug = 2

test('the programs debug while one endpoint does, and its events only are wanted', () => {
  const { options, endpoints, debugs } = node()
  options.setEndpoint(endpoints[0]!, { Debug: true })
  expect(debugs).toEqual([true])
  expect([7, 8].map((id) => options.wants(event(debug, id)))).toEqual([true, false])
  options.setEndpoint(endpoints[0]!, { Debug: false })
  expect(debugs).toEqual([true, false])
})

test('the programs no longer debug when the endpoint that did has gone', () => {
  const { options, endpoints, debugs } = node()
  options.setEndpoint(endpoints[0]!, { Debug: true })
  endpoints.shift()
  options.settle()
  expect(debugs).toEqual([true, false])
})
