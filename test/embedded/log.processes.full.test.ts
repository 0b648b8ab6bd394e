import type { Log, Stored } from '../../src/ports/log';
import { quickest } from '../elapsed';
import { nowMs, Yard, type Child, type Note } from './logprocess';

let yard: Yard;
beforeEach(() => (yard = new Yard()));
afterEach(() => yard.end());

const max = { messages: 1_000, bytes: 10_000_000 };

async function readAll(log: Log, topic: string): Promise<Stored[]> {
  const all: Stored[] = [];
  for (const { partition, start, end } of await log.bounds(topic)) {
    for (let offset = start; offset < end;) {
      const some = await log.peek(topic, { partition, offset }, max);
      all.push(...some);
      offset = (some.at(-1)?.offset ?? end) + 1;
    }
  }
  return all;
}
const textOf = (record: Stored): string => Buffer.from(record.value ?? []).toString();

describe('appending', () => {
  it('loses no acknowledged record when its process is killed', async () => {
    const log = await yard.log();
    await log.ensure({ name: 'topic', partitions: 3, compacted: false, keepMs: null });
    for (let round = 0; round < 5; round += 1) {
      const child = await yard.child(`child${round}`);
      void child.tell('append', 'topic', 3, 1_000_000, 64);
      const enough = 101 + round * 23;
      await yard.until((notes) => notes.filter(({ name }) => name === child.name).length > enough, 'it appends');
      await child.kill();
    }
    const there = new Map(
      (await readAll(log, 'topic')).map((record) => [`${record.partition}/${record.offset}`, record]),
    );
    const acknowledged = yard.notes('appended');
    expect(acknowledged.length).toBeGreaterThan(500);
    for (const { name, n, offsets } of acknowledged) {
      offsets.forEach((offset, partition) => {
        const record = there.get(`${partition}/${offset}`);
        expect(record && textOf(record)).toBe(`${name}:${n}:${'.'.repeat(100)}`);
      });
    }
    expect(there.size).toBeGreaterThanOrEqual(acknowledged.length * 3);
  });

  it('loses, duplicates and reorders no record of eight processes in one partition', async () => {
    const log = await yard.log();
    await log.ensure({ name: 'topic', partitions: 1, compacted: false, keepMs: null });
    const children = await Promise.all(Array.from({ length: 8 }, (_, n) => yard.child(`child${n}`)));
    await Promise.all(children.map((child) => child.tell('append', 'topic', 1, 400, 16)));
    const records = await readAll(log, 'topic');
    const times = yard.notes('appended').map(({ atMs }) => atMs);
    console.log(`3200 records of 8 processes in ${Math.round(Math.max(...times) - Math.min(...times))} ms`);
    expect(records.map(({ offset }) => offset)).toEqual(Array.from({ length: 3_200 }, (_, n) => n));
    for (const { name } of children) {
      const mine = records
        .filter((record) => textOf(record).startsWith(`${name}:`))
        .map((record) => record.headers['n']);
      expect(mine).toEqual(Array.from({ length: 400 }, (_, n) => `${n}`));
    }
    const places = yard.notes('appended').flatMap(({ name, n, offsets }) => [`${name}:${n}:${offsets[0]}`]);
    expect(new Set(places).size).toBe(3_200);
    for (const place of places) {
      const [name, n, offset] = place.split(':');
      expect(textOf(records[Number(offset)]!).startsWith(`${name}:${n}:`)).toBe(true);
    }
  });
});

describe('a member of a group', () => {
  const sessionMs = 1_000;

  async function scene(partitions: number, ...names: string[]): Promise<{ log: Log; children: Child[] }> {
    const log = await yard.log();
    await log.ensure({ name: 'topic', partitions, compacted: false, keepMs: null });
    const children = await Promise.all(names.map((name) => yard.child(name)));
    return { log, children };
  }
  const join = (child: Child, longMs = sessionMs): Promise<unknown> => child.tell('join', 'group', 'topic', longMs);
  const feed = (log: Log, partitions: number, count = 1): Promise<unknown> =>
    Promise.all(
      Array.from({ length: count }, () =>
        log.append(
          'topic',
          Array.from({ length: partitions }, (_, partition) => ({
            partition,
            key: null,
            value: Buffer.from('x'),
            headers: {},
          })),
        ),
      ),
    );
  /** Returns the owner of each partition after these notes. */
  function owners(notes: readonly Note[]): Map<number, string> {
    const owning = new Map<number, string>();
    for (const { what, partition, name } of notes) {
      if (what === 'taken') owning.set(partition, name);
      if ((what === 'given' || what === 'lost') && owning.get(partition) === name) owning.delete(partition);
    }
    return owning;
  }

  it('loses no commit when it is killed, and its committed state matches its offset', async () => {
    const { log, children } = await scene(2, 'a');
    await join(children[0]!);
    const feeding = feed(log, 2, 400);
    await yard.until((notes) => notes.filter(({ what }) => what === 'committed').length > 20, 'it commits');
    await children[0]!.kill();
    await feeding;
    const committed = yard.notes('committed');
    for (const { partition, offset, state } of await log.committedOffsets('group', 'topic')) {
      const last = Math.max(...committed.filter((note) => note.partition === partition).map((note) => note.offset));
      expect(offset).toBeGreaterThanOrEqual(last);
      expect(Buffer.from(state).toString()).toBe(`up to ${offset}`);
    }
  });

  it('is replaced by the other members within 1.5 seconds when it is killed', async () => {
    const { log, children } = await scene(6, 'a', 'b');
    await Promise.all(children.map((child) => join(child, 10_000))); // its death is detected, not the end of its session
    const left = (notes: readonly Note[]): string[] => [...owners(notes).values()];
    const takenOverMs = async (n: number): Promise<number> => {
      const victim = await yard.child(`victim ${n}`);
      await join(victim, 10_000);
      await yard.until((notes) => new Set(left(notes)).size === 3 && left(notes).length === 6, 'all have some');
      await feed(log, 6, 10);
      await victim.kill();
      const killedMs = nowMs();
      await yard.until(
        (notes) => left(notes).length === 6 && !left(notes).includes(victim.name),
        'the others have all',
      );
      return Math.max(...yard.notes('taken').map(({ atMs }) => atMs)) - killedMs;
    };
    expect(await quickest(1_500, takenOverMs)).toBeLessThan(1_500);
    await feed(log, 6);
    const end = (await log.bounds('topic'))[0]?.end;
    await yard.until(
      (notes) => notes.filter(({ what, offset }) => what === 'committed' && offset === end).length >= 6,
      'work continues',
    );
  });

  it('commits nothing after being stopped past its session, is notified, and rejoins', async () => {
    const { log, children } = await scene(2, 'a', 'b');
    const [a, b] = children as [Child, Child];
    await join(a);
    await yard.until((notes) => owners(notes).size === 2, 'a has all');
    await feed(log, 2, 5);
    await yard.until(
      (notes) => notes.filter(({ what, offset }) => what === 'committed' && offset === 5).length >= 2,
      'all is done',
    );
    void a.tell('pause');
    await join(b);
    await yard.until((notes) => [...owners(notes).values()].every((name) => name === 'b'), 'b has all');
    await feed(log, 2, 5);
    await yard.until(
      (notes) =>
        notes.filter(({ what, name, offset }) => what === 'committed' && name === 'b' && offset === 10).length >= 2,
      'b works',
    );
    a.go();
    await yard.until(
      (notes) => notes.filter(({ what, name }) => what === 'lost' && name === 'a').length >= 2,
      'a is notified',
    );
    await yard.until((notes) => new Set(owners(notes).values()).size === 2, 'a is a member again');
    const reasons = yard.notes('lost').filter(({ name }) => name === 'a');
    expect(reasons.map(({ reason }) => reason).join()).toContain('this instance sent no heartbeat for');
    const epochs = yard.notes('taken').map(({ partition, epoch }) => `${partition}/${epoch}`);
    expect(new Set(epochs).size).toBe(epochs.length);
    for (const { offset } of await log.committedOffsets('group', 'topic')) expect(offset).toBe(10);
  });

  it('loses its partitions when its event loop blocks past its session, even when alone', async () => {
    const { log, children } = await scene(1, 'a');
    await join(children[0]!);
    await yard.until((notes) => owners(notes).size === 1, 'a has it');
    await children[0]!.tell('block', sessionMs * 1.5);
    await yard.until((notes) => notes.some(({ what }) => what === 'lost'), 'it loses the partition');
    await yard.until((notes) => notes.filter(({ what }) => what === 'taken').length >= 2, 'it is assigned again');
    await feed(log, 1, 3);
    await yard.until(
      (notes) => notes.some(({ what, offset, epoch }) => what === 'committed' && offset === 3 && epoch > 1),
      'it works',
    );
    // One more after each loss: there can be two if the machine stalled it too.
    const lost = yard.notes('lost').length;
    expect(yard.notes('taken').map(({ epoch }) => epoch)).toEqual(Array.from({ length: lost + 1 }, (_, n) => n + 1));
  });

  it('never shares a partition while members join, leave and die under load', async () => {
    const partitions = 8;
    const { log, children } = await scene(partitions, 'm0', 'm1', 'm2', 'm3', 'm4', 'm5');
    const ends = new Map<string, number>();
    let feeding = true;
    const load = (async () => {
      for (let n = 0; feeding && n < 10_000; n += 1) await feed(log, partitions);
    })();
    const [m0, m1, m2, m3, m4, m5] = children as [Child, Child, Child, Child, Child, Child];
    const kill = async (child: Child): Promise<void> => {
      ends.set(child.name, nowMs());
      await child.kill();
    };
    const balanced = (members: readonly Child[]) => (notes: readonly Note[]) => {
      const living = [...owners(notes).values()];
      const counts = members.map(({ name }) => living.filter((owner) => owner === name).length);
      return (
        counts.reduce((sum, count) => sum + count, 0) === partitions && Math.max(...counts) - Math.min(...counts) <= 1
      );
    };
    // No session expires in this test, even on a slow machine: members leave or die.
    const join = (child: Child): Promise<unknown> => child.tell('join', 'group', 'topic', 30_000);
    await Promise.all([join(m0), join(m1)]);
    await yard.until(balanced([m0, m1]), 'two share');
    await Promise.all([join(m2), join(m3), m0.tell('leave')]);
    await yard.until(balanced([m1, m2, m3]), 'three share');
    await Promise.all([kill(m1), join(m4), join(m5), join(m0)]);
    await yard.until(balanced([m0, m2, m3, m4, m5]), 'five share');
    await Promise.all([kill(m2), m3.tell('leave'), m4.tell('close')]);
    await yard.until(balanced([m0, m5]), 'two are left');
    feeding = false;
    await load;
    const sent = (await log.bounds('topic'))[0]!.end;
    await yard.until(
      (notes) => notes.filter(({ what, offset }) => what === 'committed' && offset === sent).length >= partitions,
      'all is done',
    );
    expect(faultsOf(yard.notes(), ends)).toEqual([]);
    expect(sent).toBeGreaterThan(50);
  }, 120_000);
});

/** Lists overlapping ownership, epochs that do not rise, and records handled by a member that is not the owner. */
function faultsOf(notes: readonly Note[], killedMs: ReadonlyMap<string, number>): string[] {
  const faults: string[] = [];
  const current = new Map<number, Note>();
  const committed = new Map<number, number>();
  for (const note of notes.toSorted((a, b) => a.atMs - b.atMs)) {
    const owner = current.get(note.partition);
    if (note.what === 'taken') {
      const gone = owner === undefined || (killedMs.get(owner.name) ?? Infinity) <= note.atMs;
      if (!gone) faults.push(`${note.partition} taken by ${note.name} while ${owner?.name} had it`);
      if (owner !== undefined && note.epoch <= owner.epoch)
        faults.push(`${note.partition}: epoch ${note.epoch} after ${owner.epoch}`);
      if (note.from < (committed.get(note.partition) ?? 0))
        faults.push(`${note.partition} taken at ${note.from}, behind a commit`);
      current.set(note.partition, note);
    }
    if ((note.what === 'given' || note.what === 'lost') && owner?.epoch === note.epoch) current.delete(note.partition);
    if (note.what === 'handled' && owner?.epoch !== note.epoch)
      faults.push(`${note.partition} handled by ${note.name} out of turn`);
    if (note.what === 'committed')
      committed.set(note.partition, Math.max(note.offset, committed.get(note.partition) ?? 0));
  }
  return faults;
}
