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
