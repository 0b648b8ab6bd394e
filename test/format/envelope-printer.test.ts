import type { Envelope } from '../../src/format/envelope-fields';
import { printEnvelope } from '../../src/format/envelope-printer';

const job: Envelope = { kind: 'work', entry: 'photos.add', id: 'id1', from: 'web#a02f' };

test('prints six words, and the set fields in a fixed order', () => {
  expect(printEnvelope(job)).toBe('1 work photos.add id1 web#a02f -');
  const stamp = { incarnation: '9f86d081884c7d65', position: 42 };
  expect(printEnvelope({ ...job, baggage: { tenant: 'acme' }, cause: 'a b', hops: 2, sentMs: 7, stamp })).toBe(
    '1 work photos.add id1 web#a02f 9f86d081884c7d65:42 sentMs=7 hops=2 cause=a%20b baggage={"tenant":"acme"}',
  );
});

test('rejects a field that cannot be printed, with its name', () => {
  const issues = [{ message: 'the envelope cannot carry attempt -1', path: ['attempt'] }];
  expect(() => printEnvelope({ ...job, attempt: -1 })).toThrow(
    expect.objectContaining({ code: 'Invalid', details: { side: 'input', issues } }),
  );
});
