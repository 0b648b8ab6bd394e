import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../../src/base/clock';
import { openStore, type Store } from '../../../src/disk/lmdb';
import type { PeerProcesses } from '../../../src/embedded/store/peer-processes';
import { Notifier } from '../../../src/embedded/store/notifier';
import { virtualClock } from '../../../src/memory';
import { livedMs } from '../../elapsed';

let dir: string;
let stores: Store[];
let wakes: Notifier[];
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'busbar-wake-'));
  stores = [await openStore(dir, { clock: systemClock, durable: false })];
  wakes = [];
});
afterEach(async () => {
  for (const notifier of wakes) notifier.close();
  await Promise.all(stores.map((store) => store.release()));
  rmSync(dir, { recursive: true, force: true });
});

/** Records rings to other processes; `hear` delivers a ring to this one. */
class Ear implements PeerProcesses {
  rung: { addresses: readonly string[]; topic: string; atMs: number }[] = [];
  dead = new Set<string>();
  private hearing: ((topic: string) => void) | undefined;
  constructor(readonly address: string) {}
  alive(address: string): boolean {
    return !this.dead.has(address);
  }
  ring(addresses: readonly string[], topic: string): void {
    this.rung.push({ addresses, topic, atMs: performance.now() });
  }
  onRing(hear: (topic: string) => void): () => void {
    this.hearing = hear;
    return () => (this.hearing = undefined);
  }
  hear(topic: string): void {
    this.hearing?.(topic);
  }
}
/** A clock whose timers never fire: there is no polling. */
const still: Clock = { ...systemClock, after: () => ({ cancel: () => undefined }) };

function open(address: string, clock: Clock): { notifier: Notifier; subscription: Ear } {
  const subscription = new Ear(address);
  const notifier = new Notifier({
    log: stores[0]!,
    live: stores[0]!,
    clock,
    peers: subscription,
    id: `id of ${address}`,
  });
  wakes.push(notifier);
  return { notifier, subscription };
}
/** Resolves when earlier writes can be read. */
const written = (): Promise<unknown> => stores[0]!.write(null, [{ key: Buffer.from('x'), value: Buffer.from('x') }]);

describe('a waiting reader', () => {
  it('wakes when its own process appends', async () => {
    const { notifier } = open('a', still);
    let ready = false;
    const waiting = notifier.until('topic', () => ready, []);
    notifier.appended('topic'); // before the condition holds
    ready = true;
    notifier.appended('topic');
    expect(await waiting).toBeUndefined();
  });

  it('wakes when another process rings', async () => {
    const { notifier, subscription } = open('a', still);
    let ready = false;
    const waiting = notifier.until('topic', () => ready, []);
    subscription.hear('topic');
    ready = true;
    subscription.hear('another topic');
    subscription.hear('topic');
    expect(await waiting).toBeUndefined();
  });

  it('wakes within 500 ms after a write without a ring', async () => {
    const { notifier } = open('a', systemClock);
    let ready = false;
    const waiting = notifier.until('topic', () => ready, []);
    ready = true;
    await written();
    expect(await livedMs(waiting)).toBeLessThan(500);
  });

  it('wakes when a signal aborts, and when the log closes', async () => {
    const { notifier } = open('a', still);
    const stop = new AbortController();
    const waiting = [notifier.until('topic', () => false, [stop.signal]), notifier.until('topic', () => false, [])];
    stop.abort();
    expect(await waiting[0]).toBeUndefined();
    notifier.close();
    expect(await waiting[1]).toBeUndefined();
    await notifier.until('topic', () => false, [stop.signal]);
  });
});

describe('a ring', () => {
  it('reaches each live process that watches the topic, once', async () => {
    const { notifier, subscription } = open('a', systemClock);
    const [b, c, d] = [open('b', still), open('c', still), open('d', still)];
    for (const other of [notifier, b.notifier, b.notifier, c.notifier]) other.watch('topic');
    d.notifier.watch('another topic');
    subscription.dead.add('c');
    await written();
    notifier.appended('topic');
    expect(subscription.rung.map(({ addresses, topic }) => [addresses, topic])).toEqual([[['b'], 'topic']]);
  });

  it('does not reach a process that has stopped watching', async () => {
    const { notifier, subscription } = open('a', systemClock);
    const b = open('b', still);
    const stops = [b.notifier.watch('topic'), b.notifier.watch('topic')];
    stops[0]!();
    stops[0]!();
    await written();
    notifier.appended('topic');
    expect(subscription.rung).toHaveLength(1);
    stops[1]!();
    await written();
    const { notifier: fresh, subscription: freshEar } = open('e', systemClock);
    fresh.appended('topic');
    expect(freshEar.rung).toEqual([]);
  });

  it('is sent less often with more watchers, and always after the last append', async () => {
    const clock = virtualClock();
    const { notifier, subscription } = open('a', clock);
    for (let n = 0; n < 200; n += 1) open(`house ${n}`, still).notifier.watch('topic');
    await written();
    const rungMs: number[] = [];
    for (let ms = 0, heard = 0; ms < 50; ms += 1) {
      if (ms < 35) notifier.appended('topic');
      if (subscription.rung.length > heard) rungMs.push(ms);
      heard = subscription.rung.length;
      await clock.advance(1);
    }
    // 0.05 ms for each of 200 watchers, and one ring after the last append.
    expect(rungMs).toEqual([10, 20, 30, 40]);
    expect(subscription.rung[0]!.addresses).toHaveLength(200);
  });
});
