/** A process with an embedded log that runs commands of a test, and notes its actions in a file that survives kill -9. */
import fs from 'node:fs';
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openEmbeddedLog } from '../../src/embedded/log';
import type { PeerProcesses } from '../../src/embedded/store/peer-processes';
import type { Log, PartitionLostError, Member, OwnedPartition } from '../../src/ports/log';

const [dir = '', name = '', notes = ''] = process.argv.slice(2);

/** Detects liveness by pid, without doorbells: polling must be enough. */
const peers: PeerProcesses = {
  address: `${process.pid}`,
  alive(address) {
    try {
      return !/^State:\s*[ZX]/m.test(fs.readFileSync(`/proc/${address}/status`, 'latin1'));
    } catch {
      return false;
    }
  },
  ring: () => undefined,
  onRing: () => () => undefined,
};

const file = fs.openSync(notes, 'a', 0o600);
/** Writes one line, which survives kill -9 once this returns. All processes use the same clock. */
function note(what: string, fields: object = {}): void {
  const line = { what, name, atMs: Number(process.hrtime.bigint()) / 1e6, ...fields };
  fs.writeSync(file, `${JSON.stringify(line)}\n`);
}

let log: Log;
let member: Member | undefined;
const owned = new Map<number, { stop: AbortController; ended: Promise<void> }>();

/** Appends `count` records to each partition, `atOnce` at a time, and notes the acknowledged ones. */
async function append(topic: string, partitions: number, count: number, atOnce: number): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      const records = Array.from({ length: partitions }, (_, partition) => ({
        partition,
        key: Buffer.from(name),
        value: Buffer.from(`${name}:${n}:${'.'.repeat(100)}`),
        headers: { n: `${n}` },
      }));
      const places = await log.append(topic, records);
      note('appended', { n, offsets: places.map(({ offset }) => offset) });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}

/** Reads its partition, a few records at a time, and commits after them. */
async function work(partition: OwnedPartition, stop: AbortSignal): Promise<void> {
  let next = partition.committed?.offset ?? 0;
  try {
    while (!stop.aborted) {
      const records = await partition.read(next, { messages: 20, bytes: 100_000 }, stop);
      const last = records.at(-1);
      if (last === undefined) continue;
      note('handled', {
        partition: partition.partition,
        from: records[0]?.offset,
        to: last.offset,
        epoch: partition.epoch,
      });
      next = last.offset + 1;
      await partition.commit({ offset: next, state: Buffer.from(`up to ${next}`) });
      note('committed', { partition: partition.partition, offset: next, epoch: partition.epoch });
    }
  } catch (error) {
    note('stopped', { partition: partition.partition, epoch: partition.epoch, error: (error as Error).name });
  }
}

function take(partition: OwnedPartition): void {
  note('taken', { partition: partition.partition, epoch: partition.epoch, from: partition.committed?.offset ?? 0 });
  const stop = new AbortController();
  partition.lost.addEventListener('abort', () => {
    stop.abort();
    owned.delete(partition.partition);
    const { reason } = partition.lost.reason as PartitionLostError; // guaranteed by the port
    note('lost', { partition: partition.partition, epoch: partition.epoch, reason });
  });
  const ended = work(partition, stop.signal);
  owned.set(partition.partition, { stop, ended });
  epochs.set(partition.partition, partition.epoch);
}
const epochs = new Map<number, number>();

async function give(partition: number): Promise<void> {
  const job = owned.get(partition);
  job?.stop.abort();
  await job?.ended;
  owned.delete(partition);
  note('given', { partition, epoch: epochs.get(partition) });
}

const commands = {
  append,
  async join(group: string, topic: string, sessionMs: number) {
    member = await log.join(group, topic, { onAssigned: take, onRevoked: give }, { sessionMs });
  },
  async leave() {
    await member?.close();
  },
  /** Like SIGSTOP from outside, but while nothing is being written. */
  async pause() {
    process.kill(process.pid, 'SIGSTOP');
  },
  /** Stops itself right after a read, before any other code runs. */
  async pauseBehindReading(topic: string) {
    await log.peek(topic, { partition: 0, offset: 0 }, { messages: 1, bytes: 1 });
    process.kill(process.pid, 'SIGSTOP');
  },
  /** Blocks the event loop for `forMs`. */
  async block(forMs: number) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
  },
  /** Reads without end; resolves after the first `count` records. */
  async tail(topic: string, count: number) {
    const tail = await log.tail(topic, 'start');
    let read = 0;
    while (read < count) read += (await tail.read({ messages: 500, bytes: 1_000_000 })).length;
    void tail.read({ messages: 500, bytes: 1_000_000 });
  },
  async memory() {
    return Math.round(process.memoryUsage().rss / 1e6);
  },
  async cpu() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  async close() {
    await log.close();
  },
};

async function open(): Promise<number> {
  const notices = openNotices();
  notices.watch((notice) => {
    if (notice.type === 'log') note('notice', { message: notice.message, ...notice.fields });
  });
  const startMs = performance.now();
  log = await openEmbeddedLog({ dir, self: name, clock: systemClock, random: systemRandom, notices, peers });
  return performance.now() - startMs;
}

const say = (id: number, answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  );

// This listener keeps the process running while the log is being opened.
process.on('message', ({ id, command, args }: { id: number; command: keyof typeof commands; args: unknown[] }) => {
  const run = commands[command] as (...given: unknown[]) => Promise<unknown>; // the caller passes matching arguments
  void say(id, run(...args));
});
void say(0, open());
