import { isBusError } from '../../src/base/errors';
import { virtualClock } from '../../src/memory/clock';
import { memoryWorld } from '../../src/memory/world';
import { PartitionLostError, type OwnedPartition, type Owner } from '../../src/ports/log';
import type { Instance } from '../../src/ports/registry';
import { instanceOf } from '../support/instances';

const text = (value: string): Uint8Array => Buffer.from(value);
const record = (partition: number, value: string) => ({ partition, key: null, value: text(value), headers: {} });
const max = { messages: 100, bytes: 1_000_000 };
const never = new AbortController().signal;
const topic = { name: 't', partitions: 4, compacted: false, keepMs: null };

function owning(): Owner & { readonly owned: Map<number, OwnedPartition>; readonly told: string[] } {
  const owned = new Map<number, OwnedPartition>();
  const told: string[] = [];
  return {
    owned,
    told,
    onAssigned(one) {
      told.push(`take ${one.partition}`);
      owned.set(one.partition, one);
    },
    async onRevoked(partition) {
      told.push(`give ${partition}`);
      owned.delete(partition);
    },
  };
}
const instance = (name: string, address: string): Instance =>
  instanceOf(name, { module: 'photos', address, serves: { photos: 'f' } });

describe('a memory world', () => {
  it('appends, reads through a group and commits without advancing time', async () => {
    const { log } = memoryWorld({ clock: virtualClock() }).process('a');
    await log.ensure(topic);
    const mine = owning();
    const member = await log.join('g', 't', mine);
    const places = await log.append('t', [record(0, 'one'), record(0, 'two')]);
    expect(places).toEqual([
      { partition: 0, offset: 0 },
      { partition: 0, offset: 1 },
    ]);
    const first = mine.owned.get(0)!;
    const read = await first.read(0, max, never);
    expect(read.map(({ value }) => Buffer.from(value!).toString())).toEqual(['one', 'two']);
    await first.commit({ offset: 2, state: text('s') });
    await member.close();
    expect(mine.owned.size).toBe(0);
    await expect(first.commit({ offset: 2, state: text('s') })).rejects.toBeInstanceOf(PartitionLostError);
    expect(await log.committedOffsets('g', 't')).toEqual([
      { partition: 0, offset: 2, state: Uint8Array.from(text('s')), owner: null },
    ]);
  });

  it('moves the partitions of a frozen process after its session, and notifies it on thaw', async () => {
    const clock = virtualClock();
    const world = memoryWorld({ clock });
    const [a, b] = [world.process('a'), world.process('b')];
    await a.log.ensure(topic);
    const [ours, theirs] = [owning(), owning()];
    await a.log.join('g', 't', ours);
    await b.log.join('g', 't', theirs);
    await clock.advance(0);
    const [old] = [...ours.owned.values()];
    a.freeze();
    await clock.advance(9_999);
    expect(theirs.owned.size).toBe(2);
    await clock.advance(1);
    expect(theirs.owned.size).toBe(4);
    expect(old!.lost.aborted).toBe(false); // it is frozen and cannot be notified
    const refused = old!.commit({ offset: 1, state: text('') }).catch((error: unknown) => error);
    a.thaw();
    expect(await refused).toBeInstanceOf(PartitionLostError);
    await clock.advance(0);
    expect(old!.lost.aborted).toBe(true);
    expect(ours.told).toHaveLength(4 + 2 + 2); // it was assigned four, two were revoked, and it has two again after the thaw
    expect(theirs.owned.size).toBe(2);
  });

  it('delivers nothing to a crashed process, and reports its address as gone to others', async () => {
    const clock = virtualClock();
    const world = memoryWorld({ clock });
    const [a, b] = [world.process('a'), world.process('b')];
    const told: string[] = [];
    b.messenger.receive({
      packet: (packet) => told.push(packet.line),
      left: (address) => told.push(`gone ${address}`),
    });
    a.messenger.receive({ packet: () => told.push('heard by the dead'), left: () => told.push('heard by the dead') });
    a.messenger.send(b.messenger.address, { line: 'hello', body: text('') });
    await clock.advance(0);
    a.crash();
    let resolved = false;
    void a.settings.get('x').then(() => (resolved = true));
    b.messenger.send(a.messenger.address, { line: 'too late', body: text('') });
    await clock.advance(60_000);
    expect(told).toEqual(['hello', `gone ${a.messenger.address}`]);
    expect(resolved).toBe(false);
    expect(() => b.messenger.send(a.messenger.address, { line: 'x', body: text('') })).toThrow(
      /no instance has the address/,
    );
  });

  it('removes a crashed instance from the registry', async () => {
    const clock = virtualClock();
    const world = memoryWorld({ clock });
    const [a, b] = [world.process('a'), world.process('b')];
    const seen: string[][] = [];
    await b.registry.watch('photos', (all) => seen.push(all.map(({ name }) => name)));
    await a.registry.announce(instance('photos#1', a.messenger.address));
    await clock.advance(0);
    a.crash();
    await clock.advance(0);
    expect(seen).toEqual([[], ['photos#1'], []]);
  });

  it('removes expired records, and rejects reads of them with OutOfRangeError', async () => {
    const clock = virtualClock();
    const { log } = memoryWorld({ clock, holdsUnread: false }).process('a');
    await log.ensure({ ...topic, keepMs: 1_000 });
    const mine = owning();
    await log.join('g', 't', mine);
    const tail = await log.tail('t', 'start');
    await log.append('t', [record(0, 'old')]);
    await clock.advance(600);
    await log.append('t', [record(0, 'young')]);
    await clock.advance(399);
    expect((await log.bounds('t'))[0]).toEqual({ partition: 0, start: 0, end: 2 });
    await clock.advance(1);
    await expect(mine.owned.get(0)!.read(0, max, never)).rejects.toMatchObject({ from: 0, start: 1 });
    await expect(tail.read(max)).rejects.toMatchObject({ from: 0, start: 1 });
    expect(await tail.read(max)).toHaveLength(1);
    await clock.advance(600);
    expect((await log.bounds('t'))[0]).toEqual({ partition: 0, start: 2, end: 2 });
  });

  it('keeps expired records that a group has not read, by default', async () => {
    const clock = virtualClock();
    const { log } = memoryWorld({ clock }).process('a');
    await log.ensure({ ...topic, keepMs: 1_000 });
    await log.append('t', [record(0, 'a'), record(0, 'b')]);
    await log.startGroup('g', 't', 'start');
    await clock.advance(1e9);
    expect((await log.bounds('t'))[0]).toEqual({ partition: 0, start: 0, end: 2 });
    await log.dropGroup('g', 't');
    expect((await log.bounds('t'))[0]).toEqual({ partition: 0, start: 2, end: 2 });
  });

  it('lets one writer of a setting win', async () => {
    const world = memoryWorld({ clock: virtualClock() });
    const [a, b] = [world.process('a').settings, world.process('b').settings];
    const results = await Promise.allSettled([a.set('k', 'a', 0), b.set('k', 'b', 0)]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(isBusError(await b.set('k', 'b', 0).catch((error: unknown) => error), 'Conflict')).toBe(true);
  });
});
