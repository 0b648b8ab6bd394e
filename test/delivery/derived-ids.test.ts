import { DerivedIds } from '../../src/delivery/derived-ids';

const body = (text: string): Uint8Array => Buffer.from(text);
const key = Buffer.from('k');
const message = { source: 't.photos.work', place: { partition: 3, offset: 7 }, id: 'm1' };
const entry = 'mail.send';

test('a repeated call derives the same ids, also in another order', () => {
  const [first, second] = [new DerivedIds(message), new DerivedIds(message)];
  const [a, b] = [first.next(entry, key, body('a')), first.next(entry, key, body('b'))];
  expect([second.next(entry, key, body('b')), second.next(entry, key, body('a'))]).toEqual([b, a]);
  expect(a).toMatch(/^[0-9a-f]{32}$/);
});

test('equal messages of one call are counted', () => {
  const ids = () => {
    const one = new DerivedIds(message);
    return [1, 2, 3].map(() => one.next(entry, null, body('a')));
  };
  const [first, ...more] = ids();
  expect(more).toEqual([`${first}-1`, `${first}-2`]);
  expect(ids()).toEqual([first, ...more]);
});

test('every part of the identity changes the id', () => {
  const base = new DerivedIds(message).next(entry, key, body('a'));
  const others = [
    new DerivedIds({ ...message, source: 't.index.index.photos.added' }).next(entry, key, body('a')),
    new DerivedIds({ ...message, place: { partition: 3, offset: 8 } }).next(entry, key, body('a')),
    new DerivedIds({ ...message, place: undefined }).next(entry, key, body('a')),
    new DerivedIds({ ...message, id: 'm2' }).next(entry, key, body('a')),
    new DerivedIds(message).next('mail.print', key, body('a')),
    new DerivedIds(message).next(entry, null, body('ka')),
    new DerivedIds(message).next(entry, Buffer.from('ka'), body('')),
    new DerivedIds(message).next(entry, key, body('b')),
  ];
  expect(new Set([base, ...others]).size).toBe(others.length + 1);
});

test('the ids of a failed call are given to the same messages again', () => {
  const ids = new DerivedIds(message);
  const [a, b] = [ids.next(entry, key, body('a')), ids.next(entry, key, body('a'))];
  ids.release(a ?? '');
  expect(ids.next(entry, key, body('a'))).toBe(a);
  expect(ids.next(entry, key, body('a'))).toBe(`${a}-2`);
  ids.release(b ?? '');
  expect(ids.next(entry, key, body('c'))).not.toBe(b);
  expect(ids.next(entry, key, body('a'))).toBe(b);
});

test('a call derives ids for at most 100,000 different messages', () => {
  const ids = new DerivedIds(message);
  for (let n = 0; n < 100_000; n++) ids.next(entry, null, body(`${n}`));
  expect(ids.next(entry, null, body('one more'))).toBeUndefined();
  expect(ids.next(entry, null, body('7'))).toMatch(/-1$/);
});
