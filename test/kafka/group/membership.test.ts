import type { Notice } from '../../../src/base/notices';
import { isBusError } from '../../../src/base/errors';
import { deferred } from '../../../src/base/lifecycle';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import { Membership } from '../../../src/kafka/group/membership';
import { decodeSubscription } from '../../../src/kafka/group/subscription';
import { PartitionLostError, type OwnedPartition } from '../../../src/ports/log';
import type { JoinGroupRequest, MemberIdentity } from '../../../src/kafka/protocol/types';
import { commitAt, FakeKafka, Holder, max, never, record, valuesOf } from '../../support/fake-kafka-log';
import { seededRandom } from '../../../src/memory/clock';
import { openProcess, type KafkaProcess } from '../../support/kafka-log-ports';

const sessionMs = 10_000;
let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

async function join(one: Pick<KafkaProcess, 'log'>, topic: string, holder = new Holder()) {
  const member = await kafka.run(one.log.join('g', topic, holder, { sessionMs }));
  return { holder, member };
}
/** Opens one member that owns all partitions. */
async function openOne(partitions = 2, holder = new Holder()) {
  const one = await kafka.open(partitions);
  const joined = await join(one, one.topic, holder);
  expect(holder.owned.size).toBe(partitions);
  return { ...one, ...joined, owned: holder.owned.get(0)!, group: kafka.cluster.group('g') };
}
async function openTwo(partitions = 2, holder = new Holder()) {
  const one = await openOne(partitions, holder);
  const two = kafka.process('two');
  const second = join(two, one.topic);
  await kafka.run(second);
  return { one, two: { ...two, ...(await second) } };
}
const coordinator = (): number => kafka.cluster.coordinators.get('g') ?? 0;
const offset = (partition = 0): number | undefined =>
  kafka.cluster.group('g').offsets.get(`a.b.work/${partition}`)?.offset;
const lost = (owned: OwnedPartition): string => String((owned.lost.reason as PartitionLostError | undefined)?.message);

describe('a member', () => {
  it.each([
    [500, 25],
    [10_000, 250],
    [60_000, 1_500],
    [300_000, 3_000],
  ])('sends heartbeats in a stable group: session of %i ms, interval of %i ms', async (session, everyMs) => {
    const one = await kafka.open(1);
    await kafka.run(one.log.join('g', one.topic, new Holder(), { sessionMs: session }));
    const before = kafka.cluster.asked('heartbeat').length;
    await kafka.clock.advance(20 * everyMs);
    const sent = kafka.cluster.asked('heartbeat').length - before;
    expect([19, 20, 21]).toContain(sent);
  });

  it('joins with the member id that it receives, and owns all partitions when alone', async () => {
    const { member, holder } = await openOne(3);
    expect(member.id).toBe('one-1');
    expect([...holder.owned.keys()].toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
    const [first, second] = kafka.cluster.asked('joinGroup').map(({ args }) => (args[0] as JoinGroupRequest).memberId);
    expect([first, second]).toEqual(['', 'one-1']);
  });

  it('declares its owned partitions and those that it is revoking in each JoinGroup', async () => {
    const drained = deferred<void>();
    const { one } = await openTwo(2, new Holder(() => drained.promise));
    await kafka.until(() => one.holder.giving.length === 1);
    const three = kafka.process('three');
    await join(three, one.topic);
    const said = kafka.cluster.asked('joinGroup').filter(({ client }) => client === 'one');
    const declared = decodeSubscription((said.at(-1)!.args[0] as JoinGroupRequest).protocols[0]!.metadata)?.declared;
    const [giving] = one.holder.giving;
    expect(declared).toMatchObject({ instance: 'one', owned: [1 - giving!], giving: [giving], busy: [] });
    drained.resolve();
  });

  it('hands a partition over within a second of its release', async () => {
    const drained = deferred<void>();
    const { one, two } = await openTwo(2, new Holder(() => drained.promise));
    await kafka.until(() => one.holder.giving.length === 1);
    await kafka.clock.advance(5_000);
    expect(two.holder.owned.size).toBe(0);
    drained.resolve();
    const beganMs = kafka.clock.mono();
    await kafka.until(() => two.holder.owned.size === 1);
    expect(kafka.clock.mono() - beganMs).toBeLessThan(600);
  });

  it('hands its partitions over to the other member within 400 ms when it leaves', async () => {
    const { one, two } = await openTwo();
    await kafka.until(() => two.holder.owned.size === 1);
    await kafka.clock.advance(5_010); // both members have just sent a heartbeat
    const beganMs = kafka.clock.mono();
    const closing = kafka.watch(one.member.close());
    await kafka.until(() => two.holder.owned.size === 2 && closing.settled);
    expect(kafka.clock.mono() - beganMs).toBeLessThan(400);
  });

  it('releases a partition only after its last commit succeeded, although the generation rises meanwhile', async () => {
    const holder: Holder = new Holder(async (partition) => {
      await holder.owned.get(partition)!.commit(commitAt(7));
    });
    const { one, two } = await openTwo(2, holder);
    // The generation of the group rises while the commit is in flight.
    const group = kafka.cluster.group('g');
    const commit = group.commit.bind(group);
    let refusals = 2;
    group.commit = (as, places) => {
      if (refusals-- > 0) throw new KafkaError('ILLEGAL_GENERATION', 'said by the coordinator');
      commit(as, places);
    };
    await kafka.until(() => two.holder.owned.size === 1);
    const [taken] = two.holder.ever;
    expect(taken?.committed?.offset).toBe(7);
    expect(one.holder.owned.has(taken!.partition)).toBe(false);
    expect(one.holder.ever.some(({ lost: signal }) => signal.aborted)).toBe(false);
  });

  it('releases no partition while a commit that its owner did not await is in flight', async () => {
    const mine: Promise<void>[] = [];
    const holder: Holder = new Holder(async (partition) => {
      mine.push(holder.owned.get(partition)!.commit(commitAt(4)));
    });
    kafka.cluster.script = ({ name }) => (name === 'offsetCommit' ? { delayMs: 3_000 } : undefined);
    const { two } = await openTwo(2, holder);
    await kafka.until(() => two.holder.owned.size === 1);
    expect(two.holder.ever[0]?.committed?.offset).toBe(4);
    await kafka.run(Promise.all(mine));
  });

  it('joins again when the group used an outdated subscription of it', async () => {
    const { one, two } = await openTwo();
    await kafka.until(() => two.holder.owned.size === 1);
    await kafka.clock.advance(2_000);
    const group = kafka.cluster.group('g');
    const settled = group.generation;
    await kafka.clock.advance(5_000);
    expect(group.generation).toBe(settled);
    // Simulates an earlier JoinGroup, counted as lost, that arrives last.
    const older = (
      kafka.cluster.asked('joinGroup').filter(({ client }) => client === 'one')[1]!.args[0] as JoinGroupRequest
    ).protocols;
    const enter = group.join.bind(group);
    group.join = async (asked, client) => {
      const joined = await enter(asked, client);
      const metadata = older[0]!.metadata;
      return { ...joined, members: joined.members.map((m) => (m.id === one.member.id ? { ...m, metadata } : m)) };
    };
    const three = kafka.process('three');
    await kafka.run(three.log.join('g', one.topic, new Holder(), { sessionMs }));
    await kafka.clock.advance(100);
    const heard = group.generation;
    group.join = enter;
    await kafka.clock.advance(3_000);
    expect(group.generation).toBeGreaterThan(heard);
    expect(one.holder.owned.size + two.holder.owned.size).toBeLessThanOrEqual(2);
  });

  it('holds commits between JoinGroup and SyncGroup, and then commits with the new generation', async () => {
    const { owned, topic } = await openOne();
    // The member's SyncGroup of the next round takes a second.
    kafka.cluster.script = ({ name, client }) =>
      name === 'syncGroup' && client === 'one' ? { delayMs: 1_000 } : undefined;
    const two = kafka.process('two');
    const second = kafka.watch(two.log.join('g', topic, new Holder(), { sessionMs }));
    await kafka.until(() => kafka.cluster.group('g').state === 'CompletingRebalance');
    await kafka.clock.advance(5);
    const before = kafka.cluster.asked('offsetCommit').length;
    const commit = kafka.watch(owned.commit(commitAt(5)));
    await kafka.clock.advance(500);
    expect(kafka.cluster.asked('offsetCommit').length).toBe(before);
    await kafka.until(() => commit.settled);
    expect([commit.error, offset()]).toEqual([undefined, 5]);
    const as = kafka.cluster.asked('offsetCommit').at(-1)?.args[0] as MemberIdentity;
    expect(as.generation).toBe(kafka.cluster.group('g').generation);
    await kafka.until(() => second.settled);
  });

  it('rejoins after a commit of unknown outcome, so that its late copy is rejected', async () => {
    const { owned, group } = await openOne();
    // The commit arrives after its timeout.
    kafka.faults('offsetCommit', { delayMs: 20_000 });
    const generation = group.generation;
    await kafka.run(owned.commit(commitAt(3)), 30_000);
    expect(group.generation).toBeGreaterThan(generation);
    await kafka.run(owned.commit(commitAt(9)));
    await kafka.clock.advance(30_000);
    expect(offset()).toBe(9);
    expect(owned.lost.aborted).toBe(false);
  });

  it.each([
    ['NotAllowed', 'TOPIC_AUTHORIZATION_FAILED', 'NotAllowed'],
    ['Config', 'UNSUPPORTED_VERSION', 'Config'],
    ['TooLarge', 'INVALID_COMMIT_OFFSET_SIZE', 'TooLarge'],
  ])('rejects a commit with %s when the coordinator returns %s', async (_, code, bus) => {
    const { owned, group } = await openOne();
    const commit = group.commit.bind(group);
    group.commit = () => {
      throw new KafkaError(code, 'said by the coordinator');
    };
    expect(await kafka.refusal(owned.commit(commitAt(1)), 1_000)).toMatchObject({ code: bus });
    group.commit = commit;
    if (bus === 'TooLarge') return; // Kafka returns this error only for single partitions
    kafka.faults('offsetCommit', { error: code });
    expect(await kafka.refusal(owned.commit(commitAt(1)), 1_000)).toMatchObject({ code: bus });
  });

  it('commits the newest offset of each of its partitions in one request', async () => {
    const { holder } = await openOne(3);
    const before = kafka.cluster.asked('offsetCommit').length;
    const all = [...holder.owned.values()].flatMap((owned) => [1, 2, 3].map((at) => owned.commit(commitAt(at))));
    await kafka.run(Promise.all(all));
    expect(kafka.cluster.asked('offsetCommit').length).toBe(before + 1);
    expect([0, 1, 2].map(offset)).toEqual([3, 3, 3]);
  });
});

describe('a member that closes', () => {
  it('waits for its last commits while handlers run, and loses no partition', async () => {
    const holder: Holder = new Holder(async (partition) => {
      for (let n = 1; n <= 30; n++) {
        await new Promise<void>((go) => kafka.clock.after(1_000, go));
        await holder.owned.get(partition)!.commit(commitAt(n));
      }
    });
    const { owned, member } = await openOne(1, holder);
    await kafka.run(member.close());
    expect([owned.lost.aborted, offset()]).toEqual([false, 30]);
  });

  const states = (heard: readonly Notice[]) =>
    heard.flatMap((notice) => (notice.type === 'state' ? [[notice.part, notice.ok, notice.reason]] : []));

  it.each([
    ['are refused', { error: 'COORDINATOR_NOT_AVAILABLE' }, 'COORDINATOR_NOT_AVAILABLE'],
    ['are not answered', 'never', 'no answer of broker'],
  ] as const)('exposes the reason to the owner of a partition while its commits %s', async (_, fault, said) => {
    const { owned, heard } = await openOne();
    kafka.cluster.script = ({ name }) => (name === 'offsetCommit' ? fault : undefined);
    const commit = kafka.watch(owned.commit(commitAt(1)));
    await kafka.clock.advance(300_000);
    expect(owned.commitFailure).toContain(said);
    expect(commit.settled).toBe(false);
    kafka.cluster.script = undefined;
    await kafka.until(() => commit.settled);
    expect([commit.error, offset()]).toEqual([undefined, 1]);
    expect(owned.commitFailure).toBeUndefined();
    expect(states(heard)).toEqual([]);
  });

  it('reports once that it cannot rejoin, and once the recovery', async () => {
    const { holder, heard, group, member } = await openOne();
    kafka.cluster.script = ({ name }) => (name === 'joinGroup' ? { error: 'COORDINATOR_NOT_AVAILABLE' } : undefined);
    group.leave(member.id);
    await kafka.clock.advance(300_000);
    expect(states(heard)).toEqual([['group g', false, expect.stringContaining('COORDINATOR_NOT_AVAILABLE')]]);
    kafka.cluster.script = undefined;
    await kafka.until(() => holder.owned.size === 2);
    expect(states(heard).slice(1)).toEqual([['group g', true, expect.any(String)]]);
  });

  it('ends within 20 s when its commits are rejected although its heartbeats succeed', async () => {
    const holder: Holder = new Holder(async (partition) => {
      await holder.owned.get(partition)!.commit(commitAt(7));
    });
    const { owned, member, group } = await openOne(1, holder);
    const commit = group.commit.bind(group);
    group.commit = () => {
      throw new KafkaError('COORDINATOR_NOT_AVAILABLE', 'said by the coordinator');
    };
    const closing = kafka.watch(member.close());
    await kafka.clock.advance(9_000);
    expect([closing.settled, owned.lost.aborted]).toEqual([false, false]); // commits can still succeed
    await kafka.until(() => closing.settled, 10_000);
    expect([closing.error, owned.lost.aborted]).toEqual([undefined, true]);
    group.commit = commit;
  });
});

describe('a member that has closed', () => {
  it('is not kept by its log', async () => {
    const { log, member } = await openOne();
    await kafka.run(member.close());
    const closed = jest.spyOn(Membership.prototype, 'close');
    await kafka.run(log.close());
    expect(closed).not.toHaveBeenCalled();
    closed.mockRestore();
  });

  it('is no longer reported as failing', async () => {
    const { heard, group, member } = await openOne();
    kafka.cluster.script = ({ name }) => (name === 'joinGroup' ? { error: 'COORDINATOR_NOT_AVAILABLE' } : undefined);
    group.leave(member.id);
    await kafka.clock.advance(20_000);
    await kafka.run(member.close());
    expect(heard.filter(({ type }) => type === 'state')).toMatchObject([
      { part: 'group g', ok: false },
      { part: 'group g', ok: true },
    ]);
  });
});

describe('a member that is cut off', () => {
  it('loses its partitions within 0.8 of its session, before another member owns them', async () => {
    const { holder, owned } = await openOne();
    await kafka.clock.advance(1_000);
    const beganMs = kafka.clock.mono();
    kafka.cluster.script = ({ client, name }) => (client === 'one' && name !== 'fetch' ? 'never' : undefined);
    const two = kafka.process('two');
    const other = new Holder();
    const second = kafka.watch(two.log.join('g', 'a.b.work', other, { sessionMs }));
    await kafka.until(() => owned.lost.aborted, sessionMs);
    const lostMs = kafka.clock.mono() - beganMs;
    expect(lostMs).toBeLessThanOrEqual(0.8 * sessionMs);
    expect(lostMs).toBeGreaterThan(0.7 * sessionMs);
    expect(holder.owned.size).toBe(0);
    expect(other.ever).toEqual([]);
    expect(await kafka.refusal(owned.commit(commitAt(1)))).toBeInstanceOf(PartitionLostError);
    expect(await kafka.refusal(owned.read(0, max, never))).toBeInstanceOf(PartitionLostError);
    await kafka.until(() => second.settled && other.owned.size === 2, 60_000);
    kafka.cluster.script = undefined;
    await kafka.until(() => holder.owned.size === 1 && other.owned.size === 1);
  });

  it('keeps its partitions while the group waits for a dead member', async () => {
    const { one, two } = await openTwo();
    await kafka.until(() => two.holder.owned.size === 1);
    two.gate.kill(); // it sends nothing from now on
    const three = kafka.process('three');
    const third = kafka.watch(three.log.join('g', one.topic, new Holder(), { sessionMs }));
    await kafka.until(() => third.settled, 30_000);
    const [kept] = one.holder.ever.filter((owned) => one.holder.owned.get(owned.partition) === owned);
    expect(kept?.lost.aborted).toBe(false);
    expect(one.holder.ever.every(({ lost: signal }) => !signal.aborted)).toBe(true);
  });

  it('loses its partitions when the group removed it, and rejoins with a new member id', async () => {
    const { holder, owned, member, group } = await openOne();
    group.leave(member.id);
    await kafka.until(() => owned.lost.aborted, 1_000);
    expect(lost(owned)).toContain('has removed this member');
    await kafka.until(() => holder.owned.size === 2);
    expect(member.id).not.toBe('one-1');
    expect(holder.owned.get(0)!.epoch).toBeGreaterThan(owned.epoch);
  });

  it('keeps its partitions when its coordinator dies and another broker takes over', async () => {
    const { holder, owned } = await openOne();
    await kafka.run(owned.commit(commitAt(1)));
    kafka.cluster.kill(coordinator());
    await kafka.run(owned.commit(commitAt(2)));
    await kafka.clock.advance(20_000);
    expect(owned.lost.aborted).toBe(false);
    expect([holder.owned.get(0) === owned, offset()]).toEqual([true, 2]);
  });

  it('finds the new coordinator although a JoinGroup waits at the frozen one', async () => {
    const { one, two } = await openTwo();
    await kafka.until(() => two.holder.owned.size === 1);
    const frozen = coordinator();
    const three = kafka.process('three');
    // A JoinGroup waits at the coordinator, and the other members do not know of the rebalance yet.
    kafka.cluster.script = ({ name, client }) => (name === 'heartbeat' && client === 'two' ? 'never' : undefined);
    const third = kafka.watch(three.log.join('g', one.topic, new Holder(), { sessionMs }));
    await kafka.clock.advance(700);
    kafka.cluster.freeze(frozen);
    kafka.cluster.script = undefined;
    await kafka.clock.advance(1_000);
    kafka.cluster.moveFrom(frozen);
    await kafka.until(() => third.settled, sessionMs);
    expect(third.error).toBeUndefined();
    expect(one.holder.ever.some(({ lost: signal }) => signal.aborted)).toBe(false);
  });

  it('stops waiting for the old coordinator when another component has found the new one', async () => {
    const one = await openOne();
    const joins = (): number => kafka.cluster.asked('joinGroup').filter(({ client }) => client === 'one').length;
    const before = joins();
    kafka.cluster.script = ({ name, client }) => (name === 'joinGroup' && client === 'one' ? 'never' : undefined);
    const second = kafka.watch(kafka.process('two').log.join('g', one.topic, new Holder(), { sessionMs }));
    await kafka.until(() => joins() > before); // its JoinGroup is never answered
    await kafka.clock.advance(20);
    kafka.cluster.script = undefined;
    kafka.cluster.coordinators.set('g', coordinator() === 1 ? 2 : 1);
    await kafka.run(one.log.committedOffsets('g', one.topic)); // finds the new one before a heartbeat does
    await kafka.until(() => second.settled, 2_000);
    expect(one.owned.lost.aborted).toBe(false);
  });

  it('is fenced in time although its timers fire early and it starts no request', async () => {
    const clock = {
      ...kafka.clock,
      after: (ms: number, run: () => void) => kafka.clock.after(ms > 2 ? ms - 1 : ms, run),
    };
    const { log, topic } = await kafka.open(1);
    const early = openProcess('early', kafka.cluster.wire('early'), { clock, random: seededRandom(3) });
    const holder = new Holder();
    await kafka.run(early.log.join('g', topic, holder, { sessionMs }));
    const owned = holder.owned.get(0)!;
    kafka.cluster.script = ({ client }) => (client === 'early' ? 'never' : undefined);
    await kafka.clock.advance(sessionMs * 0.8 + 100);
    expect(owned.lost.aborted).toBe(true);
    kafka.cluster.script = undefined;
    await kafka.run(Promise.all([early.close(), log.close()]));
  });

  it('loses its partitions when the group has passed generations that it did not join', async () => {
    const { holder, owned, group } = await openOne();
    group.generation += 2; // as after a JoinGroup that arrived late
    await kafka.until(() => owned.lost.aborted, 5_000);
    await kafka.until(() => holder.owned.size === 2);
    expect(lost(owned)).toContain('was followed by');
  });

  it('leaves no partition without an owner when a generation passed unseen while partitions move', async () => {
    const { log, holder, topic, group } = await openOne();
    let passes = 0;
    kafka.cluster.script = ({ name, client }) => {
      if (name === 'joinGroup' && client === 'one' && passes++ === 0) group.generation += 2;
      return undefined;
    };
    const two = kafka.process('two');
    const second = new Holder();
    await kafka.run(two.log.join('g', topic, second, { sessionMs }));
    expect(passes).toBeGreaterThan(0);
    const owned = () => [...holder.owned.keys(), ...second.owned.keys()].toSorted((a, b) => a - b);
    await kafka.until(() => owned().length === 2, 3 * sessionMs);
    expect(owned()).toEqual([0, 1]);
    await kafka.run(Promise.all([log.close(), two.log.close()]));
  });

  it('declares again each minute what it owns while partitions move', async () => {
    const release = deferred<void>();
    const { log, holder, topic } = await openOne(2, new Holder(() => release.promise));
    const two = kafka.process('two');
    const second = new Holder();
    await kafka.run(two.log.join('g', topic, second, { sessionMs }));
    await kafka.clock.advance(5_000);
    const joins = (): number => kafka.cluster.asked('joinGroup').filter(({ client }) => client === 'one').length;
    const before = joins();
    await kafka.clock.advance(125_000);
    expect(joins() - before).toBe(2);
    release.resolve();
    await kafka.until(() => holder.owned.size === 1 && second.owned.size === 1, 10_000);
    const settled = joins();
    await kafka.clock.advance(300_000);
    expect(joins()).toBe(settled);
    await kafka.run(Promise.all([log.close(), two.log.close()]));
  });

  it('assigns nothing more in a generation that the first partition finds to be over', async () => {
    let stalledMs = 0;
    const clock = { ...kafka.clock, mono: () => kafka.clock.mono() + stalledMs };
    const { log, topic } = await kafka.open(2);
    const late = openProcess('late', kafka.cluster.wire('late'), { clock, random: seededRandom(3) });
    class Stalling extends Holder {
      override onAssigned(owned: OwnedPartition): void {
        super.onAssigned(owned);
        if (this.ever.length > 1) return;
        stalledMs = sessionMs;
        expect(() => owned.check()).toThrow(PartitionLostError);
      }
    }
    const holder = new Stalling();
    await kafka.run(late.log.join('g', topic, holder, { sessionMs }));
    await kafka.until(() => holder.owned.size === 2, 2 * sessionMs);
    expect(holder.ever.map(({ epoch }) => epoch).filter((epoch) => epoch === holder.ever[0]?.epoch)).toHaveLength(1);
    await kafka.run(Promise.all([late.close(), log.close()]));
  });

  it('rejects with Unreachable when it cannot join, and sends no group request afterwards', async () => {
    const { log, topic } = await kafka.open();
    kafka.cluster.script = ({ name }) => (name === 'joinGroup' ? { error: 'COORDINATOR_LOAD_IN_PROGRESS' } : undefined);
    const error = await kafka.refusal(log.join('g', topic, new Holder(), { sessionMs }), 60_000);
    expect(isBusError(error, 'Unreachable')).toBe(true);
    // The settings of topics are still polled.
    const ofGroups = (): number =>
      kafka.cluster.requests.filter(({ name }) => !['metadata', 'describeTopicConfigs'].includes(name)).length;
    const before = ofGroups();
    await kafka.clock.advance(60_000);
    expect(ofGroups()).toBe(before);
  });
});

describe('a group with foreign members', () => {
  it('rejects a join with Config and their names when they joined first', async () => {
    const { log, topic } = await kafka.open();
    const stranger = kafka.cluster.wire('console-consumer');
    kafka.cluster.coordinators.set('g', 1);
    const at = { node: 1, channel: 'group:g' } as const;
    const asked = { group: 'g', memberId: '', sessionMs: 60_000, rebalanceMs: 60_000 };
    const protocols = [{ name: 'range', metadata: new Uint8Array() }];
    const refused = (await kafka.refusal(stranger.joinGroup(at, { ...asked, protocols }))) as unknown as {
      memberId: string;
    };
    await kafka.run(stranger.joinGroup(at, { ...asked, memberId: refused.memberId, protocols }));
    const error = await kafka.refusal(log.join('g', topic, new Holder(), { sessionMs }));
    expect(isBusError(error, 'Config')).toBe(true);
    expect(error.message).toContain('console-consumer');
  });

  it('is left with a report while a foreign assignor assigns partitions, and rejoined afterwards', async () => {
    const { holder, owned, group, heard } = await openOne();
    let strange = true;
    const sync = group.sync.bind(group);
    // Simulates a coordinator that assigns partitions by itself, without busbar's user data.
    group.sync = async (as, given) => {
      const assignment = await sync(as, given);
      return strange ? Buffer.from('00000000000000000000', 'hex') : assignment;
    };
    const two = kafka.process('two');
    const second = kafka.watch(two.log.join('g', 'a.b.work', new Holder(), { sessionMs }));
    await kafka.until(() => owned.lost.aborted && second.settled, 5_000);
    expect(isBusError(second.error, 'Config')).toBe(true);
    expect(lost(owned)).toContain('not busbar instances');
    await kafka.clock.advance(15_000);
    expect(holder.owned.size).toBe(0);
    strange = false;
    await kafka.until(() => holder.owned.size === 2, 15_000);
    const states = heard.flatMap((notice) => (notice.type === 'state' ? [notice.ok] : []));
    expect(states).toEqual([false, true]);
  });
});

describe('an owned partition', () => {
  it('shares a fetch with the other owned partitions of its leader', async () => {
    const { holder, log, topic } = await openOne(6);
    const reads = [...holder.owned.values()].map((owned) => kafka.watch(owned.read(0, max, never)));
    await kafka.clock.advance(100);
    const asked = kafka.cluster.asked('fetch');
    expect(asked.map(({ channel: via }) => via)).toEqual(['work', 'work', 'work']);
    await kafka.run(log.append(topic, [record('a', 0), record('b', 1)]));
    await kafka.until(() => reads.filter(({ settled }) => settled).length === 2);
  });

  it('starts without a state when a tool has overwritten its commit metadata', async () => {
    const { owned, member, log, topic, group } = await openOne(1);
    await kafka.run(owned.commit({ offset: 4, state: Buffer.from('state') }));
    await kafka.run(member.close());
    group.offsets.set('a.b.work/0', { topic, partition: 0, offset: 2, metadata: 'moved by hand!' });
    const next = await join({ log }, topic);
    const { committed } = next.holder.owned.get(0)!;
    expect(committed?.offset).toBe(2);
    expect(committed?.state.length).toBe(0);
  });

  it('reports offsets that another program has set, with their partitions, and none of its own', async () => {
    const { owned, member, log, topic, group, heard } = await openOne(5);
    const reports = () => heard.flatMap((one) => (one.type === 'log' ? [one.message] : []));
    await kafka.run(owned.commit({ offset: 4, state: new Uint8Array() }));
    await kafka.run(member.close());
    const next = await join({ log }, topic);
    await kafka.run(next.member.close());
    expect(reports()).toEqual([]);
    for (const partition of [0, 1, 2, 3])
      group.offsets.set(`a.b.work/${partition}`, { topic, partition, offset: partition, metadata: '' });
    await join({ log }, topic);
    expect(reports()).toEqual([
      'group g: another program has set its offsets in a.b.work: partition 0 to 0, 1 to 1, 2 to 2 and 1 more. ' +
        'Messages before them that were not handled are skipped, and handled messages after them are repeated',
    ]);
  });

  it('does not report the start of a group that busbar has set', async () => {
    const { log, topic, heard } = await kafka.open(2);
    await kafka.run(log.startGroup('g', topic, 'start'));
    await join({ log }, topic);
    expect(heard.filter(({ type }) => type === 'log')).toEqual([]);
  });

  it('rereads from an earlier offset on request', async () => {
    const { owned, log, topic } = await openOne(1);
    for (const value of ['a', 'b', 'c']) await kafka.run(log.append(topic, [record(value)]));
    expect(valuesOf(await kafka.run(owned.read(0, max, never))).join('')).toMatch(/^a/);
    expect(valuesOf(await kafka.run(owned.read(2, max, never)))).toEqual(['c']);
    expect(valuesOf(await kafka.run(owned.read(1, { messages: 1, bytes: 1 }, never)))).toEqual(['b']);
  });
});
