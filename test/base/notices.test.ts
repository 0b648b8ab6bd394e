import { openNotices, type Notice } from '../../src/base/notices';
import type { StatePart } from '../../src/base/parts';
import { virtualClock } from '../../src/memory/clock';

test('a state watcher receives current failures immediately, and then changes until it stops', () => {
  const notices = openNotices();
  notices.emit({ type: 'state', part: 'zookeeper', ok: false, reason: 'no answer' });
  notices.emit({ type: 'state', part: 'registry', ok: false, reason: 'full' });
  notices.emit({ type: 'state', part: 'registry', ok: true, reason: 'there is room' });
  const seen: string[] = [];
  const stop = notices.watchStates(({ part, ok }) => seen.push(`${part} ${ok}`));
  notices.emit({ type: 'state', part: 'zookeeper', ok: true, reason: 'it answers' });
  stop();
  notices.emit({ type: 'state', part: 'zookeeper', ok: false, reason: 'no answer' });
  expect(seen).toEqual(['zookeeper false', 'zookeeper true']);
  expect(notices.watched).toBe(false);
});

test('a watcher that throws blocks no notice, and is reported once', () => {
  const notices = openNotices();
  const seen: string[] = [];
  notices.watch(() => {
    throw new Error('not ready');
  });
  notices.watch((notice) =>
    seen.push(notice.type === 'log' ? `${notice.message}: ${String(notice.fields['reason'])}` : notice.type),
  );
  for (const what of ['one', 'two']) notices.emit({ type: 'dropped', what, reason: 'x' });
  expect(seen.toSorted()).toEqual(['a listener of notices threw: not ready', 'dropped', 'dropped']);
});

describe('state changes', () => {
  function open() {
    const clock = virtualClock();
    const notices = openNotices(clock);
    const told: Notice[] = [];
    notices.watch((notice) => void told.push(notice));
    const states: string[] = [];
    notices.watchStates(({ part, ok }) => void states.push(`${part} ${ok}`));
    const state = (part: StatePart, ok: boolean, reason = 'why'): void =>
      notices.emit({ type: 'state', part, ok, reason });
    return { clock, notices, told, states, state };
  }

  test('within a second are one notice, but reach state watchers immediately', async () => {
    const { clock, told, states, state } = open();
    state('group a', false, 'first');
    await clock.advance(900);
    state('group b', false, 'second');
    state('reading a', false, 'third');
    state('group b', false, 'second again');
    expect(told).toEqual([]);
    expect(states).toEqual(['group a false', 'group b false', 'reading a false', 'group b false']);
    await clock.advance(100);
    expect(told).toEqual([
      {
        type: 'state',
        part: 'group a',
        ok: false,
        reason: 'first',
        also: [{ part: 'group b', reason: 'second again' }],
      },
      { type: 'state', part: 'reading a', ok: false, reason: 'third' },
    ]);
  });

  test('for one part are reported in order', async () => {
    const { clock, told, state } = open();
    state('group a', false);
    state('group b', false);
    state('group a', true);
    state('group a', false);
    await clock.advance(1_000);
    expect(told.map((notice) => notice.type === 'state' && [notice.part, notice.ok, notice.also?.length ?? 0])).toEqual(
      [
        ['group a', false, 1],
        ['group a', true, 0],
        ['group a', false, 0],
      ],
    );
  });

  test('with different effects on health are separate notices', async () => {
    const { clock, told, notices, state } = open();
    state('topic a', false);
    notices.emit({ type: 'state', part: 'topic b', ok: false, reason: 'why', ready: true });
    await clock.advance(1_000);
    expect(told).toHaveLength(2);
  });

  test('are not collected for single parts, nor for assigned or revoked partitions', () => {
    const { told, notices, state } = open();
    state('kafka', false);
    for (const change of ['taken', 'given'] as const)
      notices.emit({ type: 'partition', queue: 'q', partition: 1, change });
    expect(told).toHaveLength(3);
  });

  test('for lost partitions are collected, and reported immediately on flush', () => {
    const { told, notices } = open();
    for (let partition = 0; partition < 36; partition++)
      notices.emit({ type: 'partition', queue: 'q', partition, change: 'lost', reason: 'no sign' });
    expect(told).toEqual([]);
    notices.flush();
    expect(told).toMatchObject([{ partition: 0, reason: 'no sign' }]);
    expect(told[0]).toHaveProperty('also.length', 35);
  });
});
