/** Finds free ports for servers, and checks whether a server responds. */
import net from 'node:net';

/** Below the range of outgoing connections, so that a port is still free when its server restarts. */
const first = 20_000;
const last = 32_000;

/** Returns `count` different loopback ports on which no process listens now. */
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

/** Sends `question`. Resolves with the answer once `isWhole` accepts it, or with undefined after `timeoutMs`. */
function ask(
  port: number,
  question: Buffer,
  isWhole: (answer: Buffer) => boolean,
  timeoutMs: number,
): Promise<Buffer | undefined> {
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
      if (isWhole(answer)) end(answer);
    });
    socket.on('error', () => end(undefined));
    socket.on('close', () => end(undefined));
  });
}

/** Cluster metadata as one broker reports it. */
interface Seen {
  /** Number of brokers that are alive. */
  readonly brokers: number;
  /** Number of partitions that have no leader, or a replica that is out of sync. */
  readonly behind: number;
  /** Number of partitions whose leader is not their first replica. */
  readonly moved: number;
}

async function seenAt(port: number, question: Buffer): Promise<Seen> {
  const isWhole = (answer: Buffer): boolean => answer.length >= 4 && answer.length >= 4 + answer.readInt32BE(0);
  const answer = await ask(port, question, isWhole, 2_000);
  return answer ? readMetadata(answer) : { brokers: 0, behind: 0, moved: 0 };
}
/** Returns the number of live brokers that the broker at `port` reports; 0 when it does not answer. */
export async function brokersKnownAt(port: number): Promise<number> {
  return (await seenAt(port, metadataQuestion('none'))).brokers;
}
/** Returns whether the broker at `port` reports `count` brokers, and every replica as in sync. */
export async function isWholeAt(port: number, count: number): Promise<boolean> {
  const { brokers, behind } = await seenAt(port, metadataQuestion('all'));
  return brokers === count && behind === 0;
}
/** Returns whether the broker at `port` reports the first replica of each partition as its leader. */
export async function leadAsPreferredAt(port: number): Promise<boolean> {
  const { brokers, moved } = await seenAt(port, metadataQuestion('all'));
  return brokers > 0 && moved === 0;
}

/** Encodes a Metadata request of version 4: an empty client id, all topics or none, without creating any. */
function metadataQuestion(topics: 'none' | 'all'): Buffer {
  const body = Buffer.alloc(4 + 2 + 2 + 4 + 2 + 4 + 1);
  body.writeInt32BE(body.length - 4, 0);
  body.writeInt16BE(3, 4);
  body.writeInt16BE(4, 6);
  body.writeInt32BE(topics === 'all' ? -1 : 0, 14);
  return body;
}

function readMetadata(answer: Buffer): Seen {
  let at = 12; // after length, correlation id and throttle time
  const i16 = (): number => answer.readInt16BE((at += 2) - 2);
  const i32 = (): number => answer.readInt32BE((at += 4) - 4);
  const skipText = (): void => {
    const length = i16(); // -1 for null
    at += Math.max(0, length);
  };
  const list = <T>(one: () => T): T[] => Array.from({ length: i32() }, one);
  const brokers = list(() => {
    i32();
    skipText();
    i32();
    skipText();
  }).length;
  skipText();
  i32();
  let [behind, moved] = [0, 0];
  list(() => {
    i16();
    skipText();
    at += 1; // whether it is internal
    list(() => {
      at += 6; // error and number
      const [leader, replicas, inSync] = [i32(), list(i32), list(i32)];
      if (leader < 0 || inSync.length < replicas.length) behind++;
      if (leader !== replicas[0]) moved++;
    });
  });
  return { brokers, behind, moved };
}

/** Returns whether the ZooKeeper at `port` serves. */
export async function zookeeperServes(port: number): Promise<boolean> {
  return (await ask(port, Buffer.from('ruok'), (answer) => answer.length >= 4, 2_000))?.toString() === 'imok';
}

/** Polls `holds` every 50 ms until it returns true. Throws after `timeoutMs`. */
export async function until(what: string, timeoutMs: number, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
