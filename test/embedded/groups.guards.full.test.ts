import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openStore, type Change, type Guard, type Store } from '../../src/disk/lmdb';
import { Appender } from '../../src/embedded/store/append';
import { kinds, partitionKey } from '../../src/embedded/store/keys';
import { Lease } from '../../src/embedded/group/lease';
import { EmbeddedOwnedPartition } from '../../src/embedded/group/owned-partition';
import { decodeCommit } from '../../src/embedded/store/commit-format';
import { Reader } from '../../src/embedded/store/read';
import { GroupMembers, type MemberRow } from '../../src/embedded/group/group-members';
import { Topics } from '../../src/embedded/store/topics';
import { Notifier } from '../../src/embedded/store/notifier';
import { PartitionLostError, type Append } from '../../src/ports/log';
import { rejection } from '../support/conformance';

/** Called before a write reaches the file, so that its own writes are earlier. */
let before: (guard: Guard | null) => void;
let dir: string;
let real: Store;
let store: Store;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'busbar-guards-'));
  real = await openStore(dir, { clock: systemClock, durable: false });
  before = () => undefined;
  store = {
    ...real,
    write(guard, changes: readonly Change[]) {
      before(guard);
      return real.write(guard, changes);
    },
  };
});
afterEach(async () => {
  await real.release();
  rmSync(dir, { recursive: true, force: true });
});
const neighbours = { address: 'here', alive: () => true, ring: () => undefined, onRing: () => () => undefined };
const value = Buffer.from('x');

it('a commit is rejected when another member takes the partition at that moment', async () => {
  const topics = new Topics(store);
  await topics.ensure({ name: 't', partitions: 1, compacted: false, keepMs: null });
  const ownerKey = partitionKey(kinds.owner, ['g', 't'], 0);
  const commitKey = partitionKey(kinds.commit, ['g', 't'], 0);
  await store.write(null, [{ key: ownerKey, value, version: 7 }]);
  const refused = jest.fn();
  const notifier = new Notifier({ log: store, live: store, clock: systemClock, peers: neighbours, id: 'me' });
  const owned = new EmbeddedOwnedPartition({
    group: 'g',
    topic: 't',
    partition: 0,
    epoch: 7,
    committed: null,
    log: store,
    topics,
    notifier,
    ownerKey,
    commitKey,
    reader: new Reader(store, openNotices(), 't', 0),
    fence: () => undefined,
    cannotServe: () => undefined,
    refused,
  });
  await owned.commit({ offset: 1, state: value });
  before = (guard) => {
    if (guard !== null && ownerKey.equals(guard.key)) void real.write(null, [{ key: ownerKey, value, version: 8 }]);
  };
  expect(await rejection(owned.commit({ offset: 2, state: value }))).toBeInstanceOf(PartitionLostError);
  expect(refused).toHaveBeenCalledTimes(1);
  store.refresh();
  expect(decodeCommit(store.entry(commitKey)!.value).offset).toBe(1);
  notifier.close();
});

it('a member is not removed when its heartbeat arrives at that moment', async () => {
  let nowMs = 0;
  const clock = { ...systemClock, mono: () => nowMs };
  const other = new Lease(store, clock, 'other');
  await other.keep({ sessionMs: 1_000, late: () => undefined });
  const lease = new Lease(store, clock, 'me');
  const groupMembers = new GroupMembers(
    { live: store, clock, random: systemRandom, peers: neighbours, lease, leaseId: 'me' },
    'g',
    't',
  );
  const row: MemberRow = { instance: 'i', address: 'there', lease: 'other', sessionMs: 1_000, leaving: false };
  await groupMembers.set('member', row);
  const living = async (): Promise<string[]> => {
    groupMembers.check();
    return [...(await groupMembers.readLive()).keys()];
  };
  await living();
  nowMs = 500;
  await living();
  nowMs = 1_500;
  before = () => void real.write(null, [{ key: other.key, value, version: 2 }]);
  expect(await living()).toEqual(['member']);
  before = () => undefined;
  nowMs = 2_000;
  expect(await living()).toEqual(['member']);
  nowMs = 3_000;
  expect(await living()).toEqual([]);
  await other.close();
});

it('appends keep their order when another process appends first', async () => {
  const topics = new Topics(store);
  await topics.ensure({ name: 't', partitions: 1, compacted: false, keepMs: null });
  const endKey = partitionKey(kinds.end, ['t'], 0);
  const appender = new Appender({ store, topics, clock: systemClock, random: systemRandom, appended: () => undefined });
  const append = (text: string): Promise<unknown> => {
    const record: Append = { partition: 0, key: null, value: Buffer.from(text), headers: {} };
    return appender.append('t', [record]);
  };
  let faster = 0;
  const later: Promise<unknown>[] = [];
  before = (guard) => {
    if (guard === null || !endKey.equals(guard.key) || faster >= 30) return;
    faster += 1;
    void real.write(null, [{ key: endKey, value, version: faster }]);
    later.push(append(`later ${faster}`));
  };
  await Promise.all([append('first'), append('second')]);
  await Promise.all(later);
  const { records } = new Reader(store, openNotices(), 't', 0).read(0, 1_000, { messages: 100, bytes: 1_000_000 });
  const values = records.map((record) => Buffer.from(record.value ?? []).toString());
  expect(values).toEqual(['first', 'second', ...Array.from({ length: 30 }, (_, n) => `later ${n + 1}`)]);
});
