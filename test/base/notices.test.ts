import { openNotices } from '../../src/base/notices';

test('who watches states is told at once what does not work, and once it works no more', () => {
  const notices = openNotices();
  notices.tell({ type: 'state', part: 'zookeeper', ok: false, reason: 'no answer' });
  notices.tell({ type: 'state', part: 'registry', ok: false, reason: 'full' });
  notices.tell({ type: 'state', part: 'registry', ok: true, reason: 'there is room' });
  const seen: string[] = [];
  const stop = notices.watchStates(({ part, ok }) => seen.push(`${part} ${ok}`));
  notices.tell({ type: 'state', part: 'zookeeper', ok: true, reason: 'it answers' });
  stop();
  notices.tell({ type: 'state', part: 'zookeeper', ok: false, reason: 'no answer' });
  expect(seen).toEqual(['zookeeper false', 'zookeeper true']);
  expect(notices.watched).toBe(false);
});

test('a watcher that throws keeps no notice from the others, and is reported to them once', () => {
  const notices = openNotices();
  const seen: string[] = [];
  notices.watch(() => {
    throw new Error('not ready');
  });
  notices.watch((notice) =>
    seen.push(notice.type === 'log' ? `${notice.message}: ${String(notice.fields['reason'])}` : notice.type),
  );
  for (const what of ['one', 'two']) notices.tell({ type: 'dropped', what, reason: 'x' });
  expect(seen.toSorted()).toEqual(['a watcher of notices threw: not ready', 'dropped', 'dropped']);
});
