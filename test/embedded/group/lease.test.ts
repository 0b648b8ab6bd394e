import type { Clock } from '../../../src/base/clock';
import { deferred, type Deferred } from '../../../src/base/lifecycle';
import type { Store } from '../../../src/disk/lmdb';
import { Lease } from '../../../src/embedded/group/lease';

/** A clock that the test sets, with the waiting timers. */
function handClock(): { clock: Clock; at: (ms: number) => void; fire: () => void } {
  let nowMs = 0;
  let timers: (() => void)[] = [];
  return {
    clock: {
      now: () => nowMs,
      mono: () => nowMs,
      after(_, run) {
        timers.push(run);
        return { cancel: () => (timers = timers.filter((other) => other !== run)) };
      },
    },
    at: (ms) => (nowMs = ms),
    fire: () => timers.splice(0).forEach((run) => run()),
  };
}
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The part of a store that a lease uses; the test settles its writes. */
function handStore(): { store: Store; counts: Map<string, number>; writes: Deferred<boolean>[] } {
  const counts = new Map<string, number>();
  const writes: Deferred<boolean>[] = [];
  const store = {
    write: () => {
      const write = deferred<boolean>();
      writes.push(write);
      return write.promise;
    },
    within: <T>(promise: Promise<T>) => promise,
    version: (key: Buffer) => counts.get(key.toString()),
  };
  return { store: store as unknown as Store, counts, writes }; // it has everything that a lease calls
}

describe('the lease of this log', () => {
  async function kept() {
    const time = handClock();
    const { store, writes } = handStore();
    const lease = new Lease(store, time.clock, 'me');
    const leased = { sessionMs: 1_000, late: jest.fn() };
    const keeping = lease.keep(leased);
    writes[0]!.resolve(true);
    await keeping;
    return { ...time, lease, leased, writes };
  }

  it('is fresh until nine tenths of a session after the last heartbeat was started', async () => {
    const { lease, at, fire, writes } = await kept();
    at(899);
    expect(lease.fresh(1_000)).toBe(true);
    at(900);
    expect(lease.fresh(1_000)).toBe(false);
    at(500);
    fire();
    at(800);
    writes[1]!.resolve(true);
    await soon();
    at(1_399);
    expect(lease.fresh(1_000)).toBe(true);
    at(1_400);
    expect(lease.fresh(1_000)).toBe(false);
  });

  it('counts as lost when a heartbeat is written too late, although it is fresh again', async () => {
    const { lease, leased, at, fire, writes } = await kept();
    at(200);
    fire();
    at(899);
    writes[1]!.resolve(true);
    await soon();
    expect(leased.late).not.toHaveBeenCalled();
    at(1_000);
    fire();
    at(1_101);
    writes[2]!.resolve(true);
    await soon();
    expect(leased.late).toHaveBeenCalledTimes(1);
    expect(lease.fresh(1_000)).toBe(true);
  });

  it('retries when a heartbeat could not be written', async () => {
    const { leased, at, fire, writes } = await kept();
    at(200);
    fire();
    writes[1]!.reject(new Error('no room'));
    await soon();
    fire();
    expect(writes).toHaveLength(3);
    expect(leased.late).not.toHaveBeenCalled();
  });
});

describe('the leases of other members', () => {
  it('are silent since their last observed change, by the local clock', () => {
    const { clock, at } = handClock();
    const { store, counts } = handStore();
    const lease = new Lease(store, clock, 'me');
    counts.set('Lyou\0', 7);
    expect(lease.look('you')).toEqual({ count: 7, silentMs: 0 });
    at(600);
    expect(lease.look('you')).toEqual({ count: 7, silentMs: 600 });
    counts.set('Lyou\0', 8);
    at(700);
    expect(lease.look('you')).toEqual({ count: 8, silentMs: 0 });
    at(1_000);
    expect(lease.look('you')).toEqual({ count: 8, silentMs: 300 });
    expect(lease.look('nobody')).toEqual({ count: undefined, silentMs: Infinity });
  });

  it('are forgotten when they ended, as soon as another one is looked at', () => {
    const { clock } = handClock();
    const { store, counts } = handStore();
    const lease = new Lease(store, clock, 'me');
    for (let n = 0; n < 100; n++) {
      counts.clear();
      counts.set(`Lyou ${n}\0`, 1).set('Lother\0', 1);
      lease.look(`you ${n}`);
      lease.look('other');
    }
    expect([...lease['seen'].keys()].toSorted()).toEqual(['other', 'you 99']);
  });

  it('are not silent during a time in which this member did not check', () => {
    const { clock, at } = handClock();
    const { store, counts } = handStore();
    const lease = new Lease(store, clock, 'me');
    counts.set('Lyou\0', 7);
    lease.look('you');
    at(60_000); // this process was stalled
    expect(lease.look('you')).toEqual({ count: 7, silentMs: 0 });
  });
});
