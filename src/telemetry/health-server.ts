/** Serves health probes and metrics over HTTP: /health, /ready, /metrics. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorMessage } from '../base/errors';
import { closable, type Closable } from '../base/lifecycle';
import type { Bus, Health } from '../bus/types';
import { openMetrics, type MetricsPage } from './metrics';
import type { Watchable } from './watchable';

/** Place at which the server listens. */
export interface HealthPlace {
  readonly host: string;
  /** 0 takes any. */
  readonly port: number;
}
export interface HealthServer extends Closable {
  readonly url: string;
  /** Reports the health of `bus` from now on. Until then the process is reported as live and not ready. */
  serves(bus: Pick<Bus, 'health' | 'stats'>): void;
}

/**
 * Opens the server.
 * - /health returns 200 while the process is live, and otherwise 503.
 * - /ready returns 200 while the process accepts work, and otherwise 503.
 * - /metrics returns prom-client's default registry, which includes the counts of `watched` and what waits and runs
 *   at the bus.
 *
 * The first two return the reasons as JSON. Rejects with the error of Node.js when the port is occupied, or the host is
 * not an address of this machine.
 */
export async function openHealthServer(watched: Watchable, { host, port }: HealthPlace): Promise<HealthServer> {
  const metrics = openMetrics(watched);
  let health = (): Health => starting;
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, 'text/plain', 'only GET and HEAD\n');
    answer(health(), metrics, request.url ?? '/', response).catch((error: unknown) =>
      send(response, 500, 'text/plain', `${errorMessage(error)}\n`),
    );
  });
  server.unref(); // the server must not keep alive a process that has nothing else to do
  await listening(server, host, port).catch((error: unknown) => {
    metrics.stop();
    throw error;
  });
  // The cast is safe: a server that listens on a port has an address of this type.
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    serves(bus) {
      health = () => bus.health();
      metrics.measures(bus);
    },
    ...closable(() => closeServer(server, metrics)),
  };
}
const starting: Health = {
  live: true,
  ready: false,
  reasons: [{ part: 'module', reason: 'it is starting', sinceMs: 0 }],
};

async function answer(health: Health, metrics: MetricsPage, url: string, response: ServerResponse): Promise<void> {
  const { live, ready } = health;
  switch (url.split('?', 1)[0]) {
    case '/health':
      return send(response, live ? 200 : 503, 'application/json', JSON.stringify(health));
    case '/ready':
      return send(response, ready ? 200 : 503, 'application/json', JSON.stringify(health));
    case '/metrics':
      return send(response, 200, metrics.contentType, await metrics.text());
    default:
      return send(response, 404, 'text/plain', '/health, /ready, /metrics\n');
  }
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text);
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
}

function closeServer(server: Server, metrics: MetricsPage): Promise<void> {
  metrics.stop();
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
