import { Reader } from '../../src/kafka/protocol/primitives';
import { offsetCommit } from '../../src/kafka/protocol/group-requests';

const yearMs = 365 * 86_400_000;

it.each([
  ['a member', { group: 'g', generation: 7, memberId: 'one-1' }],
  ['a group without members', { group: 'g', generation: -1, memberId: '' }],
])('a commit of %s requests a retention of years, independent of the brokers', (_, as) => {
  const { version, body } = offsetCommit(as, [{ topic: 't', partition: 3, offset: 9, metadata: 'state' }]);
  const reader = new Reader(body);
  expect([version, reader.text(), reader.i32(), reader.text()]).toEqual([4, as.group, as.generation, as.memberId]);
  const keptMs = reader.i64();
  expect(keptMs).toBeGreaterThanOrEqual(yearMs);
  expect(Date.now() + keptMs).toBeLessThan(Number.MAX_SAFE_INTEGER);
  const topics = reader.list(() => [reader.text(), reader.list(() => [reader.i32(), reader.i64(), reader.text()])]);
  expect([topics, reader.left]).toEqual([[['t', [[3, 9, 'state']]]], 0]);
});
