/** Fixture of the spool tests: machines whose processes send through a spool to servers, all in virtual time. */
import { openNotices, type Notice } from '../../src/base/notices';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { printEnvelope } from '../../src/format/envelope-printer';
import { memoryWorld, virtualClock, type MemoryProcess, type WorldOptions } from '../../src/memory';
import type { Append, LogRecord, Stored, Topic } from '../../src/ports/log';
import { parkedTopic } from '../../src/spool/parked';
import { openSpool, type Spool, type SpoolParts } from '../../src/spool/spool';

export const work: Topic = { name: 't.photos.work', partitions: 4, compacted: false, keepMs: null };
export const other: Topic = { name: 't.albums.work', partitions: 4, compacted: false, keepMs: null };

/** One process of a machine: a spool, and the two processes of the memory worlds in which it runs. */
export interface SpoolProcess {
  readonly spool: Spool;
  readonly local: MemoryProcess;
  readonly server: MemoryProcess;
  readonly notices: readonly Notice[];
  /** Ends the process without closing anything. */
  crash(): void;
  /** Appends records with the next stamps of this process, with values `<process>-<n>`. */
  send(count: number, partition?: number, topic?: Topic): Promise<void>;
}

export function spoolScene(options: { readonly servers?: Partial<WorldOptions> } = {}) {
  const clock = virtualClock();
  const servers = memoryWorld({ clock, ...options.servers });
  const machine = memoryWorld({ clock, stateBytesMax: 65_536 });
  const reader = servers.process('reader');
  const stored = machine.process('operator');

  async function open(name: string, more: Partial<SpoolParts> = {}): Promise<SpoolProcess> {
    const [local, server] = [machine.process(name), servers.process(name)];
    const notices = openNotices();
    const seen: Notice[] = [];
    notices.watch((notice) => seen.push(notice));
    const parts = { ns: 't', clock: local.clock, notices, log: server.log, local: local.log };
    const spool = await openSpool({ ...parts, bytesMax: 1024 ** 3, topicShare: 0.5, ...more });
    const incarnation = Buffer.from(name.padEnd(8, '.').slice(0, 8)).toString('hex');
    let position = 0;
    const record = (partition: number): Append => {
      position++;
      const stamp = { incarnation, position };
      const envelope = {
        kind: 'work',
        entry: 'photos.resize',
        id: `${name}-${position}`,
        from: 'web#1',
        stamp,
      } as const;
      return {
        partition,
        key: null,
        value: Buffer.from(`${name}-${position}`),
        headers: { bus: printEnvelope(envelope) },
      };
    };
    return {
      spool,
      local,
      server,
      notices: seen,
      crash() {
        local.crash();
        server.crash();
      },
      async send(count, partition = 0, topic = work) {
        await spool.ensure(topic);
        await spool.append(
          topic.name,
          Array.from({ length: count }, () => record(partition)),
        );
      },
    };
  }

  /** Returns the records that the servers have, in order. */
  async function at(log: MemoryProcess, topic: Topic, partition: number): Promise<readonly Stored[]> {
    const max = { messages: 1_000_000, bytes: Infinity };
    const known = (await log.log.topics()).some(({ name }) => name === topic.name);
    return known ? log.log.peek(topic.name, { partition, offset: 0 }, max) : [];
  }
  const sent = (partition = 0, topic = work) => at(reader, topic, partition);
  const parked = () => at(stored, parkedTopic('t'), 0);
  const waiting = (partition = 0, topic = work) => at(stored, topic, partition);

  /** Returns what a queue handles of the records at the servers: those that the filter by stamp lets pass. */
  async function handled(partition = 0, topic = work): Promise<readonly string[]> {
    const last = new Map<string, number>();
    return (await sent(partition, topic)).flatMap((record) => {
      const { incarnation, position } = stampOf(record);
      if (position <= (last.get(incarnation) ?? -1)) return [];
      last.set(incarnation, position);
      return [Buffer.from(record.value ?? []).toString()];
    });
  }

  return { clock, servers, machine, open, sent, waiting, parked, handled };
}

function stampOf({ headers }: LogRecord): { readonly incarnation: string; readonly position: number } {
  const envelope = parseEnvelope(headers['bus'] ?? '');
  if ('bad' in envelope || !envelope.stamp) throw new Error(`a record without a stamp: ${headers['bus']}`);
  return envelope.stamp;
}

/** Returns the values `<name>-<from>` to `<name>-<to>`. */
export const values = (name: string, to: number, from = 1): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => `${name}-${from + n}`);
