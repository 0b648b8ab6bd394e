/** Free ports for servers, and the question whether a server answers. */
import net from 'node:net';

/** Outgoing connections get theirs from above, so that a port is still free when its server comes back. */
const first = 20_000;
const last = 32_000;

/** `count` different ports of the loopback interface that nobody listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count && tries < 1_000; tries++) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  if (ports.size < count) throw new Error(`no ${count} free ports from ${first} to ${last}`);
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** Sends `question` and resolves with the answer once it has `bytes` bytes, or with undefined if not in time. */
function ask(port: number, question: Buffer, bytes: number, timeoutMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let answer = Buffer.alloc(0);
    const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write(question));
    const timer = setTimeout(() => end(undefined), timeoutMs);
    function end(result: Buffer | undefined): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    }
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length >= bytes) end(answer);
    });
    socket.on('error', () => end(undefined));
    socket.on('close', () => end(undefined));
  });
}

/** How many brokers the one at `port` knows to be alive; 0 when it does not answer. */
export async function brokersKnownAt(port: number): Promise<number> {
  // The answer: length, correlation, throttle time, then the list of brokers.
  const answer = await ask(port, metadataQuestion(), 16, 2_000);
  return answer?.readInt32BE(12) ?? 0;
}
/** Metadata, version 4, of no topics. */
function metadataQuestion(): Buffer {
  const body = Buffer.alloc(4 + 2 + 2 + 4 + 2 + 4 + 1);
  body.writeInt32BE(body.length - 4, 0);
  body.writeInt16BE(3, 4);
  body.writeInt16BE(4, 6);
  return body; // correlation 0, an empty client id, an empty list of topics, create nothing
}

/** Whether the ZooKeeper at `port` serves. */
export async function zookeeperServes(port: number): Promise<boolean> {
  return (await ask(port, Buffer.from('ruok'), 4, 2_000))?.toString() === 'imok';
}

/** Asks every 50 ms until `holds`, at most `timeoutMs`. */
export async function until(what: string, timeoutMs: number, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
