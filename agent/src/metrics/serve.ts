import http from 'node:http'
import type { Metrics } from './metrics.ts'

/** Serves `/metrics` for Prometheus. */
export function metricsServer(metrics: Metrics): http.Server {
  return http.createServer((request, response) => {
    if (request.url?.split('?')[0] !== '/metrics') { response.writeHead(404).end('metrics are at /metrics\n'); return }
    metrics.text().then((text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text), (error: unknown) => response.writeHead(500).end(`${String(error)}\n`))
  })
}
