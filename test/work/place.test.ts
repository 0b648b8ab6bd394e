/** Committed offsets that do not fit the log: set by a tool, or committed for an earlier log of the same name. */
import { BusError } from '../../src/base/errors';
import type { Commit } from '../../src/ports/log';
import { emptyState, encodeState, type State } from '../../src/work/progress/commit-state';
import { group, jobs, workQueue, topic } from '../support/work-queue';

const { resize } = jobs();
const partition = 4;
const value = (n: number): Buffer => Buffer.from([0x81, 0xa1, 0x6e, n]); // {n}

/** A process that starts with `count` jobs, 10 ms apart, and the committed offset that `commitOf` returns. */
async function openAt(count: number, commitOf: (timesMs: readonly number[]) => Commit) {
  const r = workQueue();
  const [a, b] = [r.process('a'), r.process('b')];
  for (let n = 0; n < count; n++) {
    await r.append(a, { partition, key: null, value: value(n), headers: {} });
    await r.clock.advance(10);
  }
  await a.log.ensure(topic);
  const timesMs = (await a.log.peek(topic.name, { partition, offset: 0 }, { messages: 100, bytes: 1e6 })).map(
    ({ timeMs }) => timeMs,
  );
  const commit = commitOf(timesMs);
  const member = await a.log.join(group, topic.name, {
    onAssigned: (owned) => void (owned.partition === partition && owned.commit(commit)),
    onRevoked: () => Promise.resolve(),
  });
  await r.clock.advance(10);
  await member.close();
  const handled: number[] = [];
  await r.take(b, resize, ({ n }) => void handled.push(n));
  await r.clock.advance(1_000);
  const [place] = (await b.log.committedOffsets(group, topic.name)).filter((one) => one.partition === partition);
  return {
    ...r,
    log: b.log,
    append: (n: number) => r.append(b, { partition, key: null, value: value(n), headers: {} }),
    handled,
    place,
  };
}
const commitAt = (offset: number, more: Partial<State> = {}): Commit => ({
  offset,
  state: encodeState(offset, { ...emptyState(offset), ...more }, 3_072),
});

describe('a group whose committed offset is beyond the end of the log', () => {
  it('handles all records and reports it when the commit has no state', async () => {
    const { handled, place, of } = await openAt(3, () => ({ offset: 1_000, state: new Uint8Array() }));
    expect(handled).toEqual([0, 1, 2]);
    expect(place?.offset).toBe(3);
    expect(of('log')).toMatchObject([
      { level: 'error', fields: { topic: topic.name, partition, place: 1_000, from: 0, end: 3 } },
    ]);
    expect(of('log')[0]?.message).toContain('It handles 3 records from 0 up to 3 now: it is unknown');
  });

  it('handles records newer than the last one it read when the topic was recreated', async () => {
    const { handled, place, of } = await openAt(5, ([, , thirdMs = 0]) =>
      commitAt(1_000, { newest: { offset: 999, timeMs: thirdMs - 5 } }),
    );
    expect(handled).toEqual([2, 3, 4]);
    expect(place?.offset).toBe(5);
    expect(of('log')).toMatchObject([{ level: 'error', fields: { place: 1_000, from: 2, end: 5 } }]);
  });

  it('repeats nothing of a truncated log, and handles new records', async () => {
    const { handled, append, clock, of } = await openAt(3, ([, , lastMs = 0]) =>
      commitAt(5, { newest: { offset: 4, timeMs: lastMs + 20 } }),
    );
    expect(handled).toEqual([]);
    expect(of('dropped')).toMatchObject([{ what: `${topic.name}/${partition}/3 and later` }]);
    await append(7);
    await clock.advance(1_000);
    expect(handled).toEqual([7]);
  });
});

describe('a group whose commit belongs to an earlier, shorter log', () => {
  it('resumes at the first record newer than the last one it had read', async () => {
    const { handled, place } = await openAt(6, ([firstMs = 0]) => {
      const newest = { offset: 3, timeMs: firstMs - 60_000 };
      return commitAt(2, { seen: 4, ranges: [{ from: 3, to: 4 }], newest });
    });
    expect(handled).toEqual([0, 1, 2, 3, 4, 5]);
    expect(place?.offset).toBe(6);
  });

  it('keeps its commit when the newest record that it read is still at its offset', async () => {
    const { handled, of } = await openAt(6, ([, , , timeMs = 0]) =>
      commitAt(2, { seen: 4, ranges: [{ from: 3, to: 4 }], newest: { offset: 3, timeMs } }),
    );
    expect(handled).toEqual([2, 4, 5]);
    expect([...of('log'), ...of('dropped')]).toEqual([]);
  });

  it('keeps its commit when the newest record that it read was trimmed', async () => {
    const r = workQueue();
    const [a, b] = [r.process('a'), r.process('b')];
    const seen: number[] = [];
    await r.append(a, ...[0, 1, 2].map((n) => ({ partition, key: null, value: value(n), headers: {} })));
    const taken = await r.take(a, resize, ({ n }) => void seen.push(n));
    await r.clock.advance(1_000);
    await taken.close();
    await b.log.trim(topic.name, partition, 3);
    await r.append(b, { partition, key: null, value: value(3), headers: {} });
    await r.take(b, resize, ({ n }) => void seen.push(n));
    await r.clock.advance(1_000);
    expect(seen).toEqual([0, 1, 2, 3]);
    expect([...r.of('log'), ...r.of('dropped')]).toEqual([]);
  });
});

describe('trimming keeps unhandled records of a group whose committed offset', () => {
  const trimIntervalMs = 600_000;
  const beyond: Commit = { offset: 1_000, state: new Uint8Array() };
  const ofAnotherLog = commitAt(2, { seen: 4, ranges: [{ from: 3, to: 4 }], newest: { offset: 3, timeMs: 1 } });

  /** Returns the start of the log after a trim. Six jobs wait, no handler ends, and each `fails` call fails. */
  async function startAfterTrim(commit: Commit, fails: 'commit' | 'read'): Promise<number | undefined> {
    const r = workQueue();
    const [a, b] = [r.process('a'), r.process('b')];
    await r.append(a, ...[0, 1, 2, 3, 4, 5].map((n) => ({ partition, key: null, value: value(n), headers: {} })));
    const member = await a.log.join(group, topic.name, {
      onAssigned: (owned) => void (owned.partition === partition && owned.commit(commit)),
      onRevoked: () => Promise.resolve(),
    });
    await r.clock.advance(10);
    await member.close();
    const error = new BusError('Unreachable', 'no broker answers', { outcome: 'not-sent', waitedMs: 1 });
    r.world.faults = ({ process, call }) => (process === 'b' && call === fails ? { error, done: false } : undefined);
    await r.take(b, resize, () => new Promise(() => undefined), { keepMs: 1_000 });
    await r.clock.advance(trimIntervalMs + 1_000);
    return (await a.log.bounds(topic.name)).find((one) => one.partition === partition)?.start;
  }

  it.each(['commit', 'read'] as const)('is beyond the end, while each %s fails', async (fails) => {
    expect(await startAfterTrim(beyond, fails)).toBe(0);
  });
  it.each(['commit', 'read'] as const)('belongs to an earlier, shorter log, while each %s fails', async (fails) => {
    expect(await startAfterTrim(ofAnotherLog, fails)).toBe(0);
  });
});
