/** The rules for every implementation of groups: one owner at a time, no partition without one, commits only by the owner. */
import { isBusError } from '../../src/base/errors';
import { deferred } from '../../src/base/lifecycle';
import {
  PartitionLostError,
  OutOfRangeError,
  type Append,
  type GroupStart,
  type Member,
  type OwnedPartition,
  type Owner,
} from '../../src/ports/log';
import {
  bytes,
  rejection,
  suite,
  type SuiteRun,
  type TestPorts,
  type TestProcess,
  type SuiteOptions,
} from '../support/conformance';
import { Ledger, Worker } from './worker';

const max = { messages: 100, bytes: 1_000_000 };
const never = new AbortController().signal;
const record = (partition: number, value: string): Append => ({
  partition,
  key: null,
  value: bytes(value),
  headers: {},
});

/** An owner that only records its partitions. */
class Holder implements Owner {
  readonly owned = new Map<number, OwnedPartition>();
  readonly ever: OwnedPartition[] = [];
  onAssigned(owned: OwnedPartition): void {
    this.owned.set(owned.partition, owned);
    this.ever.push(owned);
  }
  async onRevoked(partition: number): Promise<void> {
    this.owned.delete(partition);
  }
}

/** One group on one topic, its members and the records that are appended to it. */
class TestGroup {
  readonly ledger = new Ledger();
  readonly group: string;
  readonly members = new Map<Worker, { readonly process: TestProcess; readonly member: Member }>();

  loading = false;
  rounds = 0;

  constructor(
    readonly run: SuiteRun,
    readonly partitions: number,
    readonly feeder: TestProcess,
    readonly topic: string = run.name('topic'),
    readonly sent: string[] = [],
  ) {
    this.group = run.name('group');
  }

  static async open(run: SuiteRun, partitions: number): Promise<TestGroup> {
    const group = new TestGroup(run, partitions, await run.process());
    await group.feeder.log.ensure({ name: group.topic, partitions, compacted: false, keepMs: null });
    return group;
  }

  async join(name: string, drain?: (partition: number) => Promise<void>): Promise<Worker> {
    const process = await this.run.process();
    const worker = new Worker(name, this.ledger, drain);
    const member = await process.log.join(this.group, this.topic, worker, { sessionMs: this.run.ports.sessionMs });
    this.members.set(worker, { process, member });
    return worker;
  }
  async leave(worker: Worker): Promise<void> {
    await this.members.get(worker)?.member.close();
    this.members.delete(worker);
  }
  async crash(worker: Worker): Promise<void> {
    worker.die();
    await this.members.get(worker)?.process.crash();
    this.members.delete(worker);
  }

  /** Appends one record to each partition. */
  async feed(what: string): Promise<void> {
    const values = Array.from({ length: this.partitions }, (_, partition) => `${what}:${partition}`);
    this.sent.push(...values);
    await this.feeder.log.append(
      this.topic,
      values.map((value, partition) => record(partition, value)),
    );
  }

  /** Feeds in each turn of the event loop until stopped, at most 5,000 times. */
  load(): { stop(): Promise<void> } {
    this.loading = true;
    const loading = (async () => {
      while (this.loading && this.rounds < 5_000) {
        await this.feed(`load${this.rounds++}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    return {
      stop: () => {
        this.loading = false;
        return loading;
      },
    };
  }

  /** Waits until live members own all partitions evenly and have handled every record that was sent. */
  async settled(): Promise<void> {
    const { ledger, partitions } = this;
    await this.run.wait(() => ledger.owners.size === partitions && this.balanced(), 'every partition has an owner');
    const rounds = this.rounds + 10;
    await this.run.wait(() => !this.loading || this.rounds >= rounds, 'the load continues');
    await this.feed(this.run.name('probe'));
    const sent = [...this.sent];
    await this.run.wait(() => sent.every((value) => ledger.handled.has(value)), 'all that was sent is handled');
    if (ledger.faults.length > 0) throw new Error(ledger.faults.join('\n'));
  }
  balanced(): boolean {
    const counts = [...this.members.keys()].map(
      ({ name }) => [...this.ledger.owners.values()].filter((owner) => owner === name).length,
    );
    return counts.length > 0 && Math.max(...counts) - Math.min(...counts) <= 1;
  }
  /** Records that were handled more than once. */
  twice(): string[] {
    return [...this.ledger.handled].filter(([, times]) => times > 1).map(([value]) => value);
  }
}

export function conformsToGroups(name: string, openPorts: () => Promise<TestPorts>, options: SuiteOptions = {}): void {
  const testMs = options.testMs ?? 60_000;
  suite(`${name}: groups`, openPorts, options, (run) => {
    const test = (title: string, run: () => Promise<void>): void => it(title, run, testMs);

    async function hold(topic: string, group: string, one?: TestProcess, serves?: readonly string[]) {
      const process = one ?? (await run.process());
      const holder = new Holder();
      const options = { sessionMs: run.ports.sessionMs, ...(serves && { serves }) };
      const member = await process.log.join(group, topic, holder, options);
      return { process, log: process.log, holder, member };
    }
    /** A topic and a group for members that serve different entries. */
    async function openMixed(partitions: number) {
      const process = await run.process();
      const [topic, group] = [run.name('topic'), run.name('group')];
      await process.log.ensure({ name: topic, partitions, compacted: false, keepMs: null });
      return (...serves: string[]) => hold(topic, group, undefined, serves);
    }
    const sizes = (...all: { holder: Holder }[]): number[] => all.map(({ holder }) => holder.owned.size);
    async function openHolder(partitions = 1) {
      const process = await run.process();
      const [topic, group] = [run.name('topic'), run.name('group')];
      await process.log.ensure({ name: topic, partitions, compacted: false, keepMs: null });
      const held = await hold(topic, group, process);
      await run.wait(() => held.holder.owned.size === partitions, 'the only member owns everything');
      return { ...held, topic, group, owned: held.holder.owned.get(0)! };
    }

    test('delivers every record to one member of each group, in order', async () => {
      const first = await TestGroup.open(run, 4);
      const second = new TestGroup(run, 4, first.feeder, first.topic, first.sent);
      await first.join('a');
      await first.join('b');
      await second.join('c');
      for (let n = 0; n < 20; n++) await first.feed(`${n}`);
      for (const group of [first, second]) {
        await group.settled();
        expect(group.twice()).toEqual([]);
        for (let partition = 0; partition < 4; partition++) {
          const mine = [...group.ledger.handled.keys()].filter(
            (value) => /^\d+:/.test(value) && value.endsWith(`:${partition}`),
          );
          expect(mine).toEqual(Array.from({ length: 20 }, (_, n) => `${n}:${partition}`));
        }
      }
    });

    test('handles each record once, by one owner, while members join and leave under load', async () => {
      const group = await TestGroup.open(run, 8);
      const feeding = group.load();
      const a = await group.join('a');
      const b = await group.join('b');
      await group.settled();
      const [c] = await Promise.all([group.join('c'), group.join('d'), group.leave(b)]);
      await group.settled();
      await Promise.all([group.leave(a), group.leave(c), group.join('e')]);
      await group.settled();
      await feeding.stop();
      await group.settled();
      expect(group.twice()).toEqual([]);
    });

    test('moves the partitions of members that die under load, and handles no committed record again', async () => {
      const group = await TestGroup.open(run, 8);
      const feeding = group.load();
      const [a, b, c] = await Promise.all([group.join('a'), group.join('b'), group.join('c')]);
      await group.settled();
      await group.crash(b);
      await group.settled();
      await Promise.all([group.crash(a), group.join('d'), group.leave(c)]);
      await group.settled();
      await feeding.stop();
      await group.settled();
    });

    test('revokes no partition of the remaining members when another one leaves', async () => {
      const group = await TestGroup.open(run, 6);
      const a = await group.join('a');
      const b = await group.join('b');
      const c = await group.join('c');
      await group.settled();
      const before = [a, b].map(({ jobs }) => [...jobs.values()].map(({ owned }) => owned));
      await group.leave(c);
      await group.settled();
      [a, b].forEach(({ jobs }, n) => {
        for (const owned of before[n]!) expect(jobs.get(owned.partition)?.owned).toBe(owned);
      });
      expect(a.jobs.size + b.jobs.size).toBe(6);
    });

    test('assigns a partition to another member only after its owner has drained it', async () => {
      const group = await TestGroup.open(run, 2);
      const drained = deferred<void>();
      const giving: number[] = [];
      const a = await group.join('a', (partition) => {
        giving.push(partition);
        return drained.promise;
      });
      await group.settled();
      const b = await group.join('b');
      await run.wait(() => giving.length === 1, 'a partition of the first member is being revoked');
      const [moving] = giving;
      const left = a.ever.find(({ partition }) => partition === moving)!;
      await left.commit({ offset: 1, state: bytes('up to 1') }); // it still owns it
      expect(b.jobs.size).toBe(0);
      drained.resolve();
      await run.wait(() => b.jobs.has(moving!), 'the second member gets it');
      await group.settled();
      expect(await rejection(left.commit({ offset: 1, state: bytes('') }))).toBeInstanceOf(PartitionLostError);
    });

    for (const how of ['leave', 'crash'] as const) {
      test(`returns a partition to its owner when its next owner does ${how} during the drain`, async () => {
        const group = await TestGroup.open(run, 2);
        const drained = deferred<void>();
        const giving: number[] = [];
        const a = await group.join('a', (partition) => {
          giving.push(partition);
          return drained.promise;
        });
        await group.settled();
        const b = await group.join('b');
        await run.wait(() => giving.length === 1, 'a partition of the first member is being revoked');
        await group[how](b);
        drained.resolve();
        await run.wait(() => a.jobs.size === 2, 'the first member has both again');
        await group.settled();
        expect(b.ever).toEqual([]);
      });
    }

    test('passes the commit of the previous owner to the next one, byte for byte', async () => {
      const { topic, group, log, member, owned } = await openHolder();
      expect(owned.committed).toBeNull();
      await log.append(topic, [record(0, 'a'), record(0, 'b')]);
      const state = Uint8Array.from({ length: log.stateBytesMax }, (_, n) => (n * 7) % 256);
      await owned.commit({ offset: 1, state: bytes('older') });
      await owned.commit({ offset: 2, state });
      await member.close();
      const next = await hold(topic, group);
      await run.wait(() => next.holder.owned.size === 1, 'the next member owns it');
      const taken = next.holder.owned.get(0)!;
      expect(taken.committed?.offset).toBe(2);
      expect(Buffer.compare(taken.committed!.state, state)).toBe(0);
      expect(taken.epoch).toBeGreaterThan(owned.epoch);
      const [place] = await next.log.committedOffsets(group, topic);
      expect(place).toMatchObject({ partition: 0, offset: 2 });
      expect(Buffer.compare(place!.state, state)).toBe(0);
      expect(place!.owner).not.toBeNull();
    });

    test('rejects a state that is too large, and keeps the previous commit', async () => {
      const { topic, group, log, owned } = await openHolder();
      await owned.commit({ offset: 0, state: bytes('kept') });
      const error = await rejection(owned.commit({ offset: 1, state: new Uint8Array(log.stateBytesMax + 1) }));
      expect(isBusError(error, 'TooLarge')).toBe(true);
      expect((await log.committedOffsets(group, topic))[0]).toMatchObject({ offset: 0, state: bytes('kept') });
    });

    test('stores commits in the order of the calls', async () => {
      const { topic, group, log, owned } = await openHolder();
      await Promise.all(Array.from({ length: 20 }, (_, n) => owned.commit({ offset: n, state: bytes(`${n}`) })));
      expect((await log.committedOffsets(group, topic))[0]).toMatchObject({ offset: 19, state: bytes('19') });
    });

    test('rejects reads and commits of an owner whose partition was revoked', async () => {
      const { member, owned } = await openHolder();
      const waiting = owned.read(0, max, never).catch((error: unknown) => error);
      await member.close();
      const ended = await waiting;
      expect(ended instanceof PartitionLostError || (Array.isArray(ended) && ended.length === 0)).toBe(true);
      expect(await rejection(owned.commit({ offset: 1, state: bytes('') }))).toBeInstanceOf(PartitionLostError);
      expect(await rejection(owned.read(0, max, never))).toBeInstanceOf(PartitionLostError);
    });

    if (options.pauses) {
      test('fences a member that was paused past its session, notifies it, and lets it rejoin', async () => {
        const group = await TestGroup.open(run, 2);
        const a = await group.join('a');
        await group.settled();
        const old = [...a.ever];
        group.ledger.died('a'); // it is about to be paused
        const resume = await group.members.get(a)!.process.pause!();
        const b = await group.join('b');
        await run.wait(() => b.jobs.size === 2, 'the other member owns everything');
        resume();
        for (const owned of old) {
          expect(() => owned.check()).toThrow(PartitionLostError);
          expect(await rejection(owned.commit({ offset: 0, state: bytes('late') }))).toBeInstanceOf(PartitionLostError);
        }
        await run.wait(() => old.every(({ lost }) => lost.aborted), 'it is notified that it lost them');
        await run.wait(() => a.jobs.size === 1, 'it is a member again');
        await group.settled();
      });

      test('assigns a fenced member no partition that it is still draining', async () => {
        const group = await TestGroup.open(run, 2);
        const drained = deferred<void>();
        const giving: number[] = [];
        const a = await group.join('a', (partition) => {
          giving.push(partition);
          return drained.promise;
        });
        await group.settled();
        const b = await group.join('b');
        await run.wait(() => giving.length === 1, 'a partition of the first member is being revoked');
        group.ledger.died('a'); // it is about to be paused
        const resume = await group.members.get(a)!.process.pause!();
        await run.wait(() => b.jobs.size === 2, 'the second member owns everything');
        resume();
        await group.leave(b);
        await run.wait(
          () => a.jobs.size === 1,
          'the first member has rejoined, with the partition that it was not draining',
        );
        expect(a.jobs.has(giving[0]!)).toBe(false);
        drained.resolve();
        await run.wait(() => a.jobs.size === 2, 'it has drained the other partition, and is assigned it again');
        await group.settled();
      });
    }

    test('moves partitions with unserved messages to a serving member, and not back', async () => {
      const join = await openMixed(4);
      const old = await join('a', 'b');
      await run.wait(() => old.holder.owned.size === 4, 'the only member owns everything');
      for (const owned of old.holder.owned.values()) owned.cannotServe(['c']);
      const newer = await join('a', 'b', 'c');
      await run.wait(() => newer.holder.owned.size === 4, 'the member that serves them owns everything');
      // Another member of each kind changes nothing for the older ones.
      const [older, newest] = [await join('a', 'b'), await join('a', 'b', 'c')];
      await run.wait(() => String(sizes(older, newest)) === '1,1', 'both have their share');
      await run.wait(() => sizes(old)[0] === 0, 'the first one has none');
      await newest.member.close();
      await newer.member.close();
      await run.wait(() => String(sizes(old, older)) === '2,2', 'without such a member all are shared evenly');
    });

    test('keeps partitions in place while no member serves their waiting messages', async () => {
      const join = await openMixed(2);
      const [one, two] = [await join('a'), await join('a', 'b')];
      await run.wait(() => String(sizes(one, two)) === '1,1', 'both have one');
      const [mine] = one.holder.owned.values();
      mine!.cannotServe(['c']);
      const three = await join('a', 'b');
      await three.member.close();
      await run.wait(() => String(sizes(one, two)) === '1,1', 'both have one again');
      expect([...one.holder.owned.values()]).toEqual([mine]);
      const four = await join('c');
      await run.wait(() => four.holder.owned.has(mine!.partition), 'a member that serves it owns the partition');
    });

    test('waits in read for a record, and returns none when the signal aborts', async () => {
      const { topic, log, owned } = await openHolder();
      const stop = new AbortController();
      const stopped = owned.read(0, max, stop.signal);
      stop.abort();
      expect(await stopped).toEqual([]);
      const waiting = owned.read(0, max, never);
      await log.append(topic, [record(0, 'there')]);
      expect(await waiting).toHaveLength(1);
      expect(await owned.read(0, { messages: 1, bytes: 1 }, never)).toHaveLength(1);
    });

    test('rejects a read of trimmed records with the range that is missing', async () => {
      const { topic, log, owned } = await openHolder();
      await log.append(
        topic,
        ['a', 'b', 'c'].map((value) => record(0, value)),
      );
      await log.trim(topic, 0, 2);
      const error = await rejection(owned.read(0, max, never));
      expect(error).toBeInstanceOf(OutOfRangeError);
      expect(error).toMatchObject({ topic, partition: 0, from: 0, start: 2 });
      expect(await owned.read(2, max, never)).toHaveLength(1);
    });

    test('rejects a read beyond the end with the offset to continue from', async () => {
      const { owned, log, topic, group } = await openHolder();
      await log.append(topic, [record(0, 'a'), record(0, 'b')]);
      await owned.commit({ offset: 1_000, state: bytes('moved') });
      expect((await log.committedOffsets(group, topic))[0]).toMatchObject({ partition: 0, offset: 1_000 });
      const error = await rejection(owned.read(1_000, max, never));
      expect(error).toBeInstanceOf(OutOfRangeError);
      expect(error).toMatchObject({ partition: 0, from: 1_000, start: 0, end: 2, next: 2 });
      await log.append(topic, [record(0, 'c')]);
      expect((await owned.read(2, max, never)).map(({ value }) => String(Buffer.from(value ?? [])))).toEqual(['c']);
      expect(await owned.read(0, max, never)).toHaveLength(3);
    });

    test('starts a new group at the given position, and never moves one that has committed', async () => {
      const { topic, group, log, owned } = await openHolder();
      await log.append(topic, [record(0, 'a'), record(0, 'b'), record(0, 'c')]);
      await owned.commit({ offset: 1, state: bytes('kept') });
      await log.startGroup(group, topic, 'end');
      await log.startGroup(group, topic, 'start');
      expect((await log.committedOffsets(group, topic))[0]).toMatchObject({ offset: 1, state: bytes('kept') });
      const fresh = run.name('group');
      await log.startGroup(fresh, topic, 'end');
      await log.append(topic, [record(0, 'd')]);
      await log.startGroup(fresh, topic, 'end');
      const next = await hold(topic, fresh);
      await run.wait(() => next.holder.owned.size === 1, 'the new group owns it');
      expect(next.holder.owned.get(0)!.committed?.offset).toBe(3);
      const known = (await log.groups()).filter((one) => one.topic === topic).map((one) => one.group);
      expect(known.sort()).toEqual([group, fresh].sort());
    });

    test('starts a new group at the first record of a time, or at the end without one', async () => {
      const { topic, log } = await openHolder(2);
      await log.append(topic, [record(0, 'a'), record(0, 'b')]);
      const resume = await (await run.process()).pause?.(); // time passes
      resume?.();
      await log.append(topic, [record(0, 'c'), record(0, 'd')]);
      const records = await log.peek(topic, { partition: 0, offset: 0 }, max);
      const times = records.map(({ timeMs }) => timeMs);
      const end = records.length;
      expect([end, (times[2] ?? 0) > (times[1] ?? 0)]).toEqual([4, true]);
      const startsAt = async (at: GroupStart): Promise<readonly number[]> => {
        const fresh = run.name('group');
        await log.startGroup(fresh, topic, at);
        return (await log.committedOffsets(fresh, topic)).map(({ offset }) => offset);
      };
      const since = (timeMs: number): number => records.find((one) => one.timeMs >= timeMs)?.offset ?? end;
      for (const timeMs of times) {
        expect(await startsAt(timeMs)).toEqual([since(timeMs), 0]);
        expect(await startsAt(timeMs + 1)).toEqual([since(timeMs + 1), 0]);
      }
      expect(await startsAt(-1)).toEqual([0, 0]);
      expect(await startsAt(4_102_444_800_000)).toEqual([end, 0]); // in 2100
      await log.trim(topic, 0, 1);
      expect([await startsAt(0), await startsAt('start')]).toEqual([
        [1, 0],
        [1, 0],
      ]);
    });

    test('keeps the start of a group that has not committed yet', async () => {
      const { topic, log } = await openHolder();
      await log.append(topic, [record(0, 'a')]);
      const fresh = run.name('group');
      await log.startGroup(fresh, topic, 'start');
      await log.startGroup(fresh, topic, 'end');
      await log.startGroup(fresh, topic, Date.now() + 1_000);
      expect(await log.committedOffsets(fresh, topic)).toMatchObject([{ offset: 0 }]);
    });

    test('drops a group without members with its commits, and rejects while it has members', async () => {
      const { topic, group, log, owned, member } = await openHolder();
      await log.append(topic, [record(0, 'a'), record(0, 'b')]);
      await owned.commit({ offset: 1, state: bytes('kept') });
      const isMine = (one: string): boolean => one === group;
      expect(await log.groups(isMine)).toEqual([{ group, topic }]);
      expect(await rejection(log.dropGroup(group, topic))).toMatchObject({ code: 'Conflict' });
      await member.close();
      const [before] = await log.committedOffsets(group, topic);
      expect(before).toMatchObject({ offset: 1, state: bytes('kept') });
      await log.dropGroup(group, topic);
      expect(await log.groups(isMine)).toEqual([]);
      await log.dropGroup(group, topic); // there is none
      await log.startGroup(group, topic, 'end');
      const next = await hold(topic, group);
      await run.wait(() => next.holder.owned.size === 1, 'a new member owns it');
      expect(next.holder.owned.get(0)!.committed?.offset).toBe(2);
    });

    test('revokes all partitions and ends all reads when the log is closed under load', async () => {
      const group = await TestGroup.open(run, 4);
      const a = await group.join('a');
      const feeding = group.load();
      await group.settled();
      await group.members.get(a)!.process.log.close();
      expect(a.jobs.size).toBe(0);
      expect(group.ledger.owners.size).toBe(0);
      group.members.clear();
      await group.join('b');
      await group.settled();
      await feeding.stop();
      expect(group.twice()).toEqual([]);
    });

    test('stays balanced when many members join, leave and crash at once', async () => {
      const group = await TestGroup.open(run, 6);
      const workers = await Promise.all(Array.from({ length: 9 }, (_, n) => group.join(`m${n}`)));
      await group.settled();
      await Promise.all(workers.slice(0, 5).map((worker, n) => (n % 2 ? group.leave(worker) : group.crash(worker))));
      await group.settled();
    });
  });
}
