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

/** Sends `question` and resolves with the answer once `isWhole` says so, or with undefined if not in time. */
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

/** What a broker knows of its cluster. */
interface Seen {
  /** How many brokers are alive. */
  readonly brokers: number;
  /** How many partitions have no leader, or a replica that is behind. */
  readonly behind: number;
  /** How many partitions are led by another than their first replica. */
  readonly moved: number;
}

async function seenAt(port: number, question: Buffer): Promise<Seen> {
  const isWhole = (answer: Buffer): boolean => answer.length >= 4 && answer.length >= 4 + answer.readInt32BE(0);
  const answer = await ask(port, question, isWhole, 2_000);
  return answer ? readMetadata(answer) : { brokers: 0, behind: 0, moved: 0 };
}
/** How many brokers the one at `port` knows to be alive; 0 when it does not answer. */
export async function brokersKnownAt(port: number): Promise<number> {
  return (await seenAt(port, metadataQuestion('none'))).brokers;
}
/** Whether the broker at `port` knows so many brokers, and of no partition that any of them is behind in. */
export async function isWholeAt(port: number, count: number): Promise<boolean> {
  const { brokers, behind } = await seenAt(port, metadataQuestion('all'));
  return brokers === count && behind === 0;
}
/** Whether, as the broker at `port` knows, each partition is led by its first replica. */
export async function leadAsPreferredAt(port: number): Promise<boolean> {
  const { brokers, moved } = await seenAt(port, metadataQuestion('all'));
  return brokers > 0 && moved === 0;
}

/** Metadata, version 4: an empty client id, which topics, create none. */
function metadataQuestion(topics: 'none' | 'all'): Buffer {
  const body = Buffer.alloc(4 + 2 + 2 + 4 + 2 + 4 + 1);
  body.writeInt32BE(body.length - 4, 0);
  body.writeInt16BE(3, 4);
  body.writeInt16BE(4, 6);
  body.writeInt32BE(topics === 'all' ? -1 : 0, 14);
  return body;
}

function readMetadata(answer: Buffer): Seen {
  let at = 12; // behind length, correlation and throttle time
  const i16 = (): number => answer.readInt16BE((at += 2) - 2);
  const i32 = (): number => answer.readInt32BE((at += 4) - 4);
  const skipText = (): void => {
    const length = i16(); // -1 for none
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

/** Whether the ZooKeeper at `port` serves. */
export async function zookeeperServes(port: number): Promise<boolean> {
  return (await ask(port, Buffer.from('ruok'), (answer) => answer.length >= 4, 2_000))?.toString() === 'imok';
}

/** Asks every 50 ms until `holds`, at most `timeoutMs`. */
export async function until(what: string, timeoutMs: number, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
