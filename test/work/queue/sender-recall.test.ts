/** Copies that a spool sends after an unknown outcome, of more senders than a commit of the queue carries. */
import { BusError } from '../../../src/base/errors';
import { limits } from '../../../src/base/limits';
import { openNotices } from '../../../src/base/notices';
import { openScopes } from '../../../src/delivery/context';
import { incarnation } from '../../../src/format/id';
import { sentAfterHeader } from '../../../src/format/sent-after';
import { memoryWorld, seededRandom } from '../../../src/memory';
import type { FaultScript, Operation } from '../../../src/memory/faults';
import { openSpool } from '../../../src/spool/spool';
import { openSender } from '../../../src/work/submit';
import { recallSenders } from '../../../src/work/queue/sender-recall';
import { emptyState } from '../../../src/work/progress/commit-state';
import { jobs, topic, workQueue } from '../../support/work-queue';

/** Jobs of the first two lists of a partition, which are short. */
const firstJobs = 100;
const sendersMany = 2 * limits.committedSendersMax;
const jobsMany = firstJobs + sendersMany;
const { resize } = jobs();
const unreachable = (done: boolean) => ({
  error: new BusError('Unreachable', 'no answer', { outcome: done ? 'unknown' : 'not-sent', waitedMs: 1 }),
  done,
});

function scene() {
  const servers = workQueue();
  const { clock } = servers;
  const machine = memoryWorld({ clock, stateBytesMax: 65_536 });
  const random = seededRandom(5);
  const handled: number[] = [];

  async function openMachine(name: string) {
    const [local, server] = [machine.process(name), servers.process(name)];
    const notices = openNotices();
    const parts = { ns: 't', clock: local.clock, notices, log: server.log, local: local.log };
    const spool = await openSpool({ ...parts, bytesMax: 1024 ** 3, topicShare: 1 });
    /** Submits one job as a process of its own, as `busbar submit` from cron does. */
    const submit = (n: number) => {
      const sender = openSender({
        clock: local.clock,
        random,
        notices,
        scopes: openScopes(),
        log: server.log,
        self: { module: 'web', instance: `web#${n}` },
        ns: 't',
        incarnation: incarnation(random),
        reached: 'broker',
        spool,
      });
      return sender.send(resize, [{ n, key: 'k' }]);
    };
    return {
      submit,
      crash() {
        local.crash();
        server.crash();
      },
    };
  }
  const work = (name: string) =>
    servers.take(servers.process(name), resize, ({ n }) => void handled.push(n), {
      limits: () => ({ concurrency: 1 }),
    });
  return { servers, machine, clock, handled, openMachine, work };
}
type Scene = ReturnType<typeof scene>;
const isAppend = ({ call, topic: name }: Operation): boolean => call === 'append' && name === topic.name;

/** Lets many senders submit while no process sends. Then the third list of their jobs is written without an answer. */
async function sendWithoutAnswer({ servers, machine, clock, openMachine }: Scene) {
  machine.faults = ({ call }) => (call === 'join' ? unreachable(false) : undefined);
  const first = await openMachine('m1');
  for (let n = 0; n < jobsMany; n++) await first.submit(n);
  machine.faults = undefined;
  let isWritten = false;
  let lists = 0;
  const script: FaultScript = (operation) => {
    if (!isAppend(operation) || ++lists <= 2) return undefined;
    const fault = unreachable(!isWritten);
    isWritten = true;
    return fault;
  };
  servers.world.faults = script;
  await clock.runUntil(() => isWritten, 10_000);
  await clock.advance(100);
  return first;
}

test('copies of many senders are dropped by the next owner, also when another process sends them', async () => {
  const all = scene();
  const { servers, clock, handled, openMachine, work } = all;
  const one = await work('one');
  const first = await sendWithoutAnswer(all);
  await clock.runUntil(() => handled.length >= jobsMany, 60_000);
  first.crash();
  const two = await work('two');
  const closing = one.close();
  await clock.advance(10_000);
  await closing;
  servers.world.faults = undefined;
  await openMachine('m2');
  await clock.advance(60_000);
  const expected = Array.from({ length: jobsMany }, (_, n) => n);
  expect(handled.toSorted((a, b) => a - b)).toEqual(expected);
  expect(servers.of('dropped')).toHaveLength(sendersMany);
  await two.close();
});

describe('reading back', () => {
  const at = { offset: 1_000, state: { ...emptyState(1_000), seen: 1_000 } };
  const record = (offset: number, after?: number) => ({
    partition: 0,
    offset,
    timeMs: 1,
    key: null,
    value: null,
    headers: {
      bus: `1 work photos.resize id web#1 ${offset.toString(16).padStart(16, '0')}:1`,
      ...(after !== undefined && { [sentAfterHeader]: String(after) }),
    },
  });
  function recalling(known = false) {
    const [reads, noted]: [number[], number[]] = [[], []];
    const log = {
      peek: async (_topic: string, { offset }: { readonly offset: number }) => {
        reads.push(offset);
        return Array.from({ length: 400 }, (_, n) => record(offset + n));
      },
    };
    const senders = {
      knowsSender: () => known,
      recallSender: ({ incarnation: name }: { readonly incarnation: string }) => void noted.push(parseInt(name, 16)),
    };
    const queue = { topic };
    const recall = recallSenders({ log } as never, queue, 0, at, senders);
    return { reads, noted, recall: (...records: ReturnType<typeof record>[]) => recall(records, signal) };
  }
  const { signal } = new AbortController();

  test('reads from the stated offset to the place of the earlier owner, once', async () => {
    const { reads, noted, recall } = recalling();
    await recall(record(1_000, 500), record(1_001, 990));
    expect(reads).toEqual([500, 900]);
    expect([noted[0], noted.at(-1), noted.length]).toEqual([500, 999, 500]);
    await recall(record(1_002, 500));
    expect(reads).toHaveLength(2);
    await recall(record(1_003, 400));
    expect(reads).toEqual([500, 900, 400]);
    expect(noted.slice(500)).toEqual(Array.from({ length: 100 }, (_, n) => 400 + n));
  });

  test('reads nothing for known senders, and for records that no spool has sent', async () => {
    const known = recalling(true);
    await known.recall(record(1_000, 500));
    const direct = recalling();
    await direct.recall(record(1_000), record(1_001, 1_000));
    expect([known.reads, direct.reads]).toEqual([[], []]);
  });

  test('ends at a limit', async () => {
    const { noted, recall } = recalling();
    const offset = 10 * limits.recalledRecordsMax;
    const far = recallAt(offset);
    await far.recall([record(offset, 0)], signal);
    expect(far.reads[0]).toBe(offset - limits.recalledRecordsMax);
    await recall(record(1_000, 0));
    expect(noted).toHaveLength(1_000);
  });
  function recallAt(offset: number) {
    const reads: number[] = [];
    const log = {
      async peek(_topic: string, from: { readonly offset: number }) {
        reads.push(from.offset);
        return [];
      },
    };
    const senders = { knowsSender: () => false, recallSender: () => undefined };
    const begin = { offset, state: emptyState(offset) };
    return { reads, recall: recallSenders({ log } as never, { topic }, 0, begin, senders) };
  }
});
