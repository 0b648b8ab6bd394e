/** JSON beside MessagePack: the first byte distinguishes them, and hostile JSON is refused. */
import fc from 'fast-check';
import { decodeBody, encodeBody } from '../../src/format/codec';
import { decodeValue } from '../../src/format/json';
import { heavy } from '../heavy';

const json = (text: string): ReturnType<typeof decodeValue> => decodeValue(Buffer.from(text));

test('an object, a list and a string of JSON are read', () => {
  expect(json('{"n": 1, "of": [true, null, "ü"]}')).toEqual({ ok: true, value: { n: 1, of: [true, null, 'ü'] } });
  expect(json('[1, 2.5]')).toEqual({ ok: true, value: [1, 2.5] });
  expect(json('"a"')).toEqual({ ok: true, value: 'a' });
});

/** fast-check sometimes generates dangerous keys, which are filtered out. */
const sendable = fc
  .jsonValue()
  .filter((value) => !/"(?:__proto__|constructor|prototype)":/.test(JSON.stringify(value)));
test('every encoded body is read as MessagePack, never as JSON', () => {
  fc.assert(
    fc.property(fc.oneof(sendable, fc.integer(), fc.string()), (value) => {
      const bytes = encodeBody(value, 1_000_000);
      expect(decodeValue(bytes)).toEqual(decodeBody(bytes));
    }),
  );
  for (const one of [0x7b, 0x5b, 0x22]) expect(decodeValue(Uint8Array.of(one))).toEqual({ ok: true, value: one });
  expect(decodeValue(null)).toEqual({ ok: true, value: undefined });
});

test.each([
  ['{"a":', 'it begins like JSON, but is not JSON'],
  ['{"__proto__": {"a": 1}}', 'the key "__proto__"'],
  ['{"a": {"constructor": 1}}', 'the key "constructor"'],
  ['["\\ud800"]', 'half a surrogate pair'],
  ['{"\\ud800": 1}', 'the key'],
])('%s is refused', (text, reason) => {
  expect(json(text)).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
});

heavy.each([
  ['['.repeat(400_000), 'it begins like JSON, but is not JSON'],
  ['['.repeat(400_000) + ']'.repeat(400_000), 'more than 100 levels'],
  [`[${'1,'.repeat(100_000)}1]`, 'more than 100000 items'],
])('%.20s… is refused', (text, reason) => {
  expect(json(text)).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
});

test('a JSON string that is not UTF-8 is refused', () => {
  expect(decodeValue(Uint8Array.of(0x22, 0xff, 0x22))).toMatchObject({ ok: false });
});
