/** Detects events that wait for named listeners for longer than `keepMs`, as their publisher watches it. */
import { openNotices, type Notice } from '../../src/base/notices';
import { printEnvelope } from '../../src/format/envelope-printer';
import { memoryWorld, virtualClock } from '../../src/memory';
import type { Log } from '../../src/ports/log';
import { RetentionWatch } from '../../src/work/retention';

const keepMs = 3_600_000;
const topic = { name: 't.photos.events', partitions: 1, compacted: false, keepMs };
const group = 't.search.index.photos.added';

/** A log whose topics can be deleted and recreated while they are in use. */
function openScene<T>(watches: (watch: RetentionWatch) => T) {
  const clock = virtualClock();
  const open = (): Log => memoryWorld({ clock, holdsUnread: false }).process('a').log;
  let current = open();
  const heard: string[] = [];
  const states: boolean[] = [];
  const notices = openNotices();
  notices.watch((notice: Notice) => {
    if (notice.type === 'state' && !notice.ok) heard.push(notice.part);
    if (notice.type === 'state') states.push(notice.ok);
  });
  const log: Log = {
    ...current,
    holdsUnread: false,
    topics: () => current.topics(),
    groups: (isWanted) => current.groups(isWanted),
    committedOffsets: (...of) => current.committedOffsets(...of),
    bounds: (name) => current.bounds(name),
    peek: (...where) => current.peek(...where),
  };
  const watch = new RetentionWatch({ clock, random: { next: () => 0.5 }, log, notices });
  const watched = watches(watch);
  const start = async (): Promise<void> => {
    await current.ensure(topic);
    await current.startGroup(group, topic.name, 'end');
  };
  const publish = async (entry: string, count: number): Promise<void> => {
    const records = Array.from({ length: count }, (_, n) => {
      const line = printEnvelope({ kind: 'event', entry, id: `${entry}-${n}`, from: 'photos#1' });
      return { partition: 0, key: null, value: Buffer.from([n]), headers: { bus: line } };
    });
    await current.append(topic.name, records);
  };
  const recreate = (): Promise<void> => {
    current = open();
    return start();
  };
  return { clock, heard, states, watch, watched, log, start, publish, recreate };
}

test.each([
  ['fewer', 3, 0],
  ['more', 3, 40],
])('reports events of a topic that was recreated with %s events', async (_, added, moved) => {
  const { clock, heard, watch, start, publish, recreate } = openScene((it) => it.publishes(topic));
  await start();
  await publish('photos.moved', 20); // no listener handles these: they are skipped and not read again
  await clock.advance(0.8 * keepMs);
  expect(heard).toEqual([]);
  await recreate();
  await publish('photos.added', added);
  await publish('photos.moved', moved);
  await clock.advance(0.4 * keepMs);
  expect(heard).toEqual([]);
  await clock.advance(0.2 * keepMs);
  expect(heard).toEqual(['events of t.photos.events']);
  watch.close();
});

describe('a named listener that ends', () => {
  const listens = (watch: RetentionWatch): (() => void) => watch.listens(topic, group);

  test('ends the report about its events and the checks of its topic', async () => {
    const { clock, states, watched, start, publish, log } = openScene(listens);
    await start();
    await publish('photos.added', 1);
    await clock.advance(0.7 * keepMs);
    expect(states).toEqual([false]);
    watched();
    expect(states).toEqual([false, true]);
    const places = jest.spyOn(log, 'committedOffsets');
    await clock.advance(keepMs);
    expect(places).not.toHaveBeenCalled();
    expect(states).toEqual([false, true]);
  });

  test('is watched like before when the instance publishes to the topic too', async () => {
    const { clock, states, watch, watched, start, publish } = openScene(listens);
    await start();
    await publish('photos.added', 1);
    watch.publishes(topic);
    watched();
    await clock.advance(0.7 * keepMs);
    expect(states).toEqual([false]);
    watch.close();
  });

  test('leaves the other listeners of the topic watched', async () => {
    const { clock, states, watch, watched, start, publish } = openScene(listens);
    await start();
    await publish('photos.added', 1);
    const other = watch.listens(topic, 't.search.other.photos.added');
    other();
    await clock.advance(0.7 * keepMs);
    expect(states).toEqual([false]);
    watched();
  });
});
