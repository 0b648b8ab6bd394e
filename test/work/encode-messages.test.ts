import { defineModule, unchecked, work } from '../../src/contract/contract';
import type { Schema } from '../../src/contract/types';
import { openScopes } from '../../src/delivery/context';
import { decodeBody } from '../../src/format/codec';
import { memoryWorld, virtualClock } from '../../src/memory';
import { messageEncoder } from '../../src/work/encode-messages';
import type { CallIds, GivenIds } from '../../src/work/ids/call-ids';

interface Job {
  readonly key: string;
}
const entryOf = (schema: Schema<Job> = unchecked<Job>()) =>
  defineModule('photos', { resize: work(schema, { key: ({ key }: Job) => key }) }).resize;

function encoder(messageBytesMax = 1_000) {
  const clock = virtualClock();
  const { random } = memoryWorld({ clock });
  const self = { module: 'web', instance: 'web#0001' };
  return messageEncoder({ clock, random, scopes: openScopes(), self, messageBytesMax });
}

const given = (idOf: GivenIds): CallIds => ({
  idOf,
  choose: (_entry, id) => ({ id, once: 'given' }),
  failed: () => undefined,
});

/** A schema that accepts every body after a turn of the event loop. */
const slow: Schema<Job> = {
  '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value: value as Job }) },
};

test('encodes the body, and adds the key, an id and an envelope without a stamp', () => {
  const { bytes, ready } = encoder()(entryOf(), [{ key: 'a' }], 'one');
  if (ready instanceof Promise) throw new Error('the schema is synchronous');
  const [message] = ready;
  expect(message).toMatchObject({
    key: Buffer.from('a'),
    envelope: { kind: 'work', entry: 'photos.resize', from: 'web#0001', stamp: undefined, id: message?.id },
  });
  expect(message && decodeBody(message.value)).toEqual({ ok: true, value: { key: 'a' } });
  expect(bytes).toBe(message?.value.length);
});

test('gives the messages the ids of the caller, and marks them', () => {
  const { ready } = encoder()(
    entryOf(),
    [{ key: 'a' }, { key: 'b' }],
    'list',
    given((input, n) => `${(input as Job).key}${n}`),
  );
  if (ready instanceof Promise) throw new Error('the schema is synchronous');
  expect(ready.map(({ id, envelope }) => [id, envelope.id, envelope.once])).toEqual([
    ['a0', 'a0', 'given'],
    ['b1', 'b1', 'given'],
  ]);
});

test.each([
  ['', 'has 0 characters; it must have 1 to 200'],
  ['x'.repeat(201), 'has 201 characters; it must have 1 to 200'],
  ['a\nb', 'has a control character, a line separator, or a mark of the writing direction'],
  ['a\u{d800}', 'has half of a surrogate pair, which UTF-8 cannot hold'],
])('rejects the id %p', (id, fault) => {
  const encode = () =>
    encoder()(
      entryOf(),
      [{ key: 'a' }],
      'one',
      given(() => id),
    );
  const message = `the id of a message for photos.resize ${fault}`;
  expect(encode).toThrow(expect.objectContaining({ code: 'Invalid', message, details: expect.anything() }));
});

test('names the message of a list whose id is invalid', () => {
  const ids = ['a', ''];
  expect(() =>
    encoder()(
      entryOf(),
      [{ key: 'a' }, { key: 'b' }],
      'list',
      given((_input, n) => ids[n] ?? ''),
    ),
  ).toThrow(expect.objectContaining({ code: 'Invalid', message: expect.stringContaining('body 1 of 2') }));
});

test('knows the bytes before an asynchronous check has ended', async () => {
  const { bytes, ready } = encoder()(entryOf(slow), [{ key: 'a' }], 'one');
  expect(bytes).toBeGreaterThan(0);
  expect(ready).toBeInstanceOf(Promise);
  expect(await ready).toHaveLength(1);
});

test('rejects a key that is not a string, and names the message of a list', () => {
  const inputs = [{ key: 'a' }, { key: 1 }];
  expect(() => encoder()(entryOf(), inputs, 'one')).toThrow('key of photos.resize returned number, not a string');
  expect(() => encoder()(entryOf(), inputs, 'list')).toThrow(
    expect.objectContaining({ code: 'Invalid', message: expect.stringContaining('body 1 of 2') }),
  );
});

test('rejects a key and a body that are too large', () => {
  const tooLarge = expect.objectContaining({ code: 'TooLarge' });
  expect(() => encoder(10_000)(entryOf(), [{ key: 'x'.repeat(1_025) }], 'one')).toThrow(tooLarge);
  expect(() => encoder(100)(entryOf(), [{ key: 'x'.repeat(101) }], 'one')).toThrow(tooLarge);
});
