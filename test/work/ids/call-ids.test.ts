import { DerivedIds } from '../../../src/delivery/derived-ids';
import { derivedCall } from '../../../src/work/ids/call-ids';

const ids = () => new DerivedIds({ source: 't.photos.work', place: { partition: 0, offset: 1 }, id: 'm1' });
const body = Buffer.from('a');

test('chooses derived ids, and marks them', () => {
  const call = derivedCall(ids());
  expect(call.choose('mail.send', 'made', null, body)).toEqual({
    id: expect.stringMatching(/^[0-9a-f]{32}$/),
    once: 'derived',
  });
});

test('the messages of a failed call have the same ids when the handler sends them again', () => {
  const handler = ids();
  const failing = derivedCall(handler);
  const first = [1, 2].map(() => failing.choose('mail.send', 'made', null, body));
  failing.failed(new Error('away'));
  const again = derivedCall(handler);
  expect([1, 2].map(() => again.choose('mail.send', 'made', null, body))).toEqual(first);
  expect(again.choose('mail.send', 'made', null, body)?.id).toMatch(/-2$/);
});

test('a message beyond those that are counted keeps its id, without a mark', () => {
  const call = derivedCall({ next: () => undefined, release: () => undefined });
  expect(call.choose('mail.send', 'made', null, body)).toBeUndefined();
});
