/** Shares one cluster among test processes: the Jest run serves it over HTTP and starts it at the first request. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Cluster, Server } from './cluster';

const verbs = ['kill', 'stop', 'freeze', 'thaw', 'fill', 'restart'] as const;
/** Data of a cluster, without its methods. */
type Facts = Pick<Cluster, 'brokers' | 'listeners' | 'zookeeper' | 'caFile' | 'users' | 'isOurs'>;

export interface Served {
  readonly url: string;
  /** Closes the cluster too, if it was started. */
  close(): Promise<void>;
}

/** Serves the cluster that `start` makes at the first request. */
export async function serveCluster(start: () => Promise<Cluster>): Promise<Served> {
  let starting: Promise<Cluster> | undefined;
  const cluster = (): Promise<Cluster> => (starting ??= start());
  const turns = new Turns();
  const server = http.createServer((question, answer) => {
    const [, what = '', ...rest] = (question.url ?? '').split('/');
    const end = (status: number, body: unknown): unknown => answer.writeHead(status).end(JSON.stringify(body ?? null));
    if (what === 'hold') return hold(turns, rest[0] === 'alone', cluster, answer);
    return act(cluster, what, rest).then(
      (facts) => end(200, facts),
      (error: unknown) => end(500, String(error)),
    );
  });
  server.requestTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, // it listens on TCP
    async close() {
      server.closeAllConnections();
      server.close();
      await (await starting?.catch(() => undefined))?.close();
    },
  };
}

async function act(cluster: () => Promise<Cluster>, what: string, [name = '', verb = '']: string[]): Promise<unknown> {
  const all = await cluster();
  const { brokers, listeners, zookeeper, caFile, users, isOurs } = all;
  if (what === 'facts') return { brokers, listeners, zookeeper, caFile, users, isOurs } satisfies Facts;
  if (what === 'mend') return all.mend();
  const server = name === 'zookeeper' ? all.zookeeperServer : all.broker(Number(name));
  const known = verbs.find((one) => one === verb);
  if (known === undefined) throw new Error(`no such verb: ${verb}`);
  return server[known]();
}

/** Holds the turn while the connection is open, so that a process that dies releases it. */
async function hold(
  turns: Turns,
  alone: boolean,
  cluster: () => Promise<Cluster>,
  answer: http.ServerResponse,
): Promise<void> {
  const gone = new Promise<void>((resolve) => answer.once('close', resolve));
  await turns.take(alone);
  answer.writeHead(200).write('held');
  await gone;
  if (alone) await (await cluster()).mend().catch(() => undefined); // the next suite reports the failure
  turns.giveBack(alone);
}

/** Grants turns in the order of the requests: many shared ones at once, or one exclusive one. */
class Turns {
  readonly #waiting: { alone: boolean; go: () => void }[] = [];
  #running = 0;
  #isAlone = false;

  take(alone: boolean): Promise<void> {
    return new Promise((go) => {
      this.#waiting.push({ alone, go });
      this.#next();
    });
  }

  giveBack(alone: boolean): void {
    this.#running--;
    if (alone) this.#isAlone = false;
    this.#next();
  }

  #next(): void {
    for (const [first] = this.#waiting; first !== undefined;) {
      if (this.#isAlone || (first.alone && this.#running > 0)) return;
      this.#waiting.shift();
      this.#running++;
      this.#isAlone = first.alone;
      first.go();
      return this.#next();
    }
  }
}

/** Returns the cluster served at `url`, as seen from another process. Closing it does nothing. */
export async function clusterAt(url: string): Promise<Cluster> {
  const facts = (await call(`${url}/facts`)) as Facts; // as `act` answers
  const server = (name: string): Server => ({
    kill: () => done(`${url}/server/${name}/kill`),
    stop: () => done(`${url}/server/${name}/stop`),
    freeze: () => done(`${url}/server/${name}/freeze`),
    thaw: () => done(`${url}/server/${name}/thaw`),
    fill: () => done(`${url}/server/${name}/fill`),
    restart: () => done(`${url}/server/${name}/restart`),
  });
  return {
    ...facts,
    broker: (id) => server(`${id}`),
    zookeeperServer: server('zookeeper'),
    mend: () => done(`${url}/mend`),
    close: () => Promise.resolve(),
  };
}

/** Waits for a turn on the cluster, shared or exclusive. The returned function ends the turn. */
export function takeTurn(url: string, alone: boolean): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const question = http.get(`${url}/hold/${alone ? 'alone' : 'shared'}`, { agent: false }, (answer) => {
      answer.once('data', () => resolve(() => question.destroy()));
      answer.on('error', () => undefined); // the caller destroyed the request
    });
    question.on('error', reject);
  });
}

async function done(url: string): Promise<void> {
  await call(url);
}

function call(url: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const question = http.get(url, { agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => (text += part));
      answer.on('end', () => {
        const body: unknown = JSON.parse(text);
        if (answer.statusCode === 200) resolve(body);
        else reject(new Error(String(body)));
      });
    });
    question.on('error', reject);
  });
}
