import { isDeepStrictEqual } from 'node:util';
import { decodeBody, encodeBody } from '../../src/format/codec';
import { readBody } from '../../src/format/body-reader';
import { cpuMs } from '../elapsed';
import { heavy } from '../heavy';

const text = (s: string): number[] => [...Buffer.from(s)];
const str = (s: string): number[] => [0xa0 + Buffer.byteLength(s), ...text(s)];
const u32 = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
const map = (...pairs: number[][]): number[] => [0x80 + pairs.length / 2, ...pairs.flat()];
const ext = (type: string | number, payload: number[]): number[] => [
  0xc8,
  payload.length >> 8,
  payload.length & 255,
  typeof type === 'string' ? type.charCodeAt(0) : type,
  ...payload,
];

function reason(bytes: Iterable<number> | Uint8Array): string {
  const decoded = decodeBody(Uint8Array.from(bytes));
  if (decoded.ok) throw new Error(`read as ${String(decoded.value)}`);
  return decoded.reason;
}

describe('the body reader rejects', () => {
  it.each<[string, number[], string]>([
    ['0xc1', [0xc1], 'byte 1: 0xc1 is not a type'],
    ['0xc1 inside', map(str('a'), [0xc1]), '0xc1 is not a type'],
    ['an array of 2^32-1', [0xdd, 0xff, 0xff, 0xff, 0xff], 'more than 100000 items'],
    ['a map of 2^32-1', [0xdf, 0xff, 0xff, 0xff, 0xff], 'more than 100000 items'],
    ['an array longer than the bytes', [0xdc, 0x10, 0, 1, 2], '4096 items announced, 2 bytes left'],
    ['a map longer than the bytes', [0xde, 0, 2, ...str('a'), 1], '2 items announced, 3 bytes left'],
    ['a string of 2^32-1', [0xdb, 0xff, 0xff, 0xff, 0xff], 'cut off'],
    ['bytes of 2^32-1', [0xc6, 0xff, 0xff, 0xff, 0xff], 'cut off'],
    ['an extension of 2^32-1', [0xc9, 0xff, 0xff, 0xff, 0xff, 0xff], 'cut off'],
    ['bytes after the value', [1, 2], '1 more bytes after the value'],
    ['a number as key', [0x81, 1, 1], 'a key that is not a string'],
    ['null as key', [0x81, 0xc0, 1], 'a key that is not a string'],
    ['bytes as key', [0x81, 0xc4, 1, 65, 1], 'a key that is not a string'],
    ['the key __proto__', map(str('__proto__'), map(str('polluted'), [1])), 'the key __proto__'],
    ['the key __proto__ written long', [0x81, 0xd9, 9, ...text('__proto__'), 1], 'the key __proto__'],
    ['the key __proto__ beside __proto_', map(str('__proto_'), [1], str('__proto__'), [1]), 'the key __proto__'],
    ['the key constructor', map(str('constructor'), map(str('prototype'), [0x80])), 'the key constructor'],
    ['the key prototype', [0x91, ...map(str('prototype'), [1])], 'the key prototype'],
    ['a key twice', map(str('role'), [1], str('name'), [1], str('role'), [2]), 'the key role twice'],
    ['a key twice, once written long', [0x82, ...str('a'), 1, 0xd9, 1, 0x61, 2], 'the key a twice'],
    ['the empty key twice', map(str(''), [1], str(''), [2]), 'the key  twice'],
    ['an Error by name', ext('e', [0x92, ...str('eval'), ...str('1')]), 'extension type 0x65'],
    ['an Error as a tag', [0xd4, 0x65, 0, 0x92, ...str('Function'), ...str('1')], 'extension type 0x65'],
    ['a RegExp', [0xd4, 0x78, 0, 0x92, ...str('(a+)+$'), ...str('')], 'extension type 0x78'],
    ['a record', [0xd4, 0x72, 0x40, 0x91, ...str('a'), 1], 'extension type 0x72'],
    ['a record of two bytes', [0xd5, 0x72, 0x40, 0, 0x91, ...str('a'), 1], 'extension type 0x72'],
    ['an id', [0xd6, 0x69, ...u32(1), 0x80], 'extension type 0x69'],
    ['a pointer', [0xd6, 0x70, ...u32(1)], 'extension type 0x70'],
    ['a typed array', ext('t', [0x7f, 1, 2]), 'extension type 0x74'],
    ['bundled strings', [0xd6, 0x62, ...u32(9)], 'extension type 0x62'],
    ["msgpackr's own bigint", ext('B', [1, 2, 3]), 'extension type 0x42'],
    ["msgpackr's own Set", [0xd4, 0x73, 0, 0x91, 1], 'extension type 0x73'],
    ['undefined', [0xd4, 0, 0], 'extension type 0x00'],
    ['a bigint of 60,000 digits', ext('N', Array<number>(60_000).fill(0x39)), 'a bigint that does not have'],
    ['a bigint of 101 digits', ext('N', Array<number>(101).fill(0x39)), 'a bigint that does not have'],
    ['a bigint with a leading zero', ext('N', text('01')), 'a bigint that does not have'],
    ['a bigint -0', ext('N', text('-0')), 'a bigint that does not have'],
    ['a bigint of no digits', ext('N', []), 'a bigint that does not have'],
    ['a bigint in hex', ext('N', text('0x1')), 'a bigint that does not have'],
    ['a Map that is not an array', ext('M', map(str('a'), [1])), 'a Map or Set that is not an array'],
    ['a Map of three', ext('M', [0x93, 1, 2, 3]), 'a Map with a key and no value'],
    ['a Map with more after it', ext('M', [0x92, 1, 2, 3]), 'bytes after the members'],
    ['a Map that is cut off', ext('M', [0x92, 1]), 'items announced'],
    ['a Map whose members reach beyond it', [0xd5, 0x4d, 0x92, 0xa3, ...text('abc'), 1], 'items announced'],
    ['a Map with one key twice', ext('M', [0x94, 1, 1, 1, 2]), 'the same key twice in a Map'],
    ['a Set with one member twice', ext('S', [0x92, ...str('a'), ...str('a')]), 'the same member twice in a Set'],
    ['an unknown extension in a Map', ext('M', [0x92, 1, 0xd4, 0x72, 0x40]), 'extension type 0x72'],
    ['a key twice inside a Set', ext('S', [0x91, ...map(str('a'), [1], str('a'), [1])]), 'the key a twice'],
    ['a timestamp of 5 bytes', ext(0xff, [1, 2, 3, 4, 5]), 'a timestamp of 5 bytes'],
    ['the invalid timestamp of msgpackr', [0xd4, 0xff, 0xff], 'a timestamp of 1 bytes'],
    ['a timestamp of 1e9 ns', [0xd7, 0xff, ...u32((1e9 * 4) >>> 0), ...u32(0)], 'a second or more of nanoseconds'],
    ['a timestamp of 2^63 s', ext(0xff, [0, 0, 0, 0, ...u32(0x7fffffff), ...u32(0)]), 'that a Date cannot hold'],
    ['uint64 2^64-1', [0xcf, ...u32(0xffffffff), ...u32(0xffffffff)], 'beyond 2^53'],
    ['uint64 2^53', [0xcf, ...u32(0x200000), ...u32(0)], 'beyond 2^53'],
    ['int64 -2^53', [0xd3, ...u32(0xffe00000), ...u32(0)], 'beyond 2^53'],
    ['int64 -2^63', [0xd3, ...u32(0x80000000), ...u32(0)], 'beyond 2^53'],
    ['ff fe', [0xa2, 0xff, 0xfe], 'not valid UTF-8'],
    ['an overlong slash', [0xa2, 0xc0, 0xaf], 'not valid UTF-8'],
    ['an overlong NUL', [0xa3, 0xe0, 0x80, 0x80], 'not valid UTF-8'],
    ['half a surrogate pair', [0xa3, 0xed, 0xa0, 0x80], 'not valid UTF-8'],
    ['beyond U+10FFFF', [0xa4, 0xf4, 0x90, 0x80, 0x80], 'not valid UTF-8'],
    ['a sequence cut by the end of its string', [0x92, 0xa1, 0xc3, 0xa1, 0xa9], 'not valid UTF-8'],
    ['a bad byte at the end of a long string', [0xd9, 200, ...Array<number>(199).fill(65), 0xff], 'not valid UTF-8'],
    ['a bad key', [0x81, 0xa1, 0xff, 1], 'not valid UTF-8'],
  ])('%s', (_, bytes, said) => {
    expect(reason(bytes)).toContain(said);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('nesting beyond the depth limit: arrays, maps and Maps', () => {
    expect(reason(new Uint8Array(1_000_000).fill(0x91))).toContain('nested deeper than 100');
    expect(reason(Array.from({ length: 20_000 }, () => [0x81, 0xa1, 0x61]).flat())).toContain('nested deeper than 100');
    let nested = [0x90];
    for (let i = 0; i < 101; i++) nested = ext('S', [0x91, ...nested]);
    expect(reason(nested)).toContain('nested deeper than 100');
    const most = decodeBody(new Uint8Array(1_000_000).fill(0x91), 10_000);
    expect(most).toMatchObject({ ok: false, reason: expect.stringMatching(/^byte 10001, .*nested deeper than 10000/) });
  });

  heavy('more than 100,000 items, in arrays and in maps', () => {
    expect(reason([0xdd, ...u32(1 << 20), ...new Uint8Array(1 << 20).fill(0x80)])).toContain('more than 100000 items');
    expect(reason([0xdf, ...u32(200_000), ...new Uint8Array(1_000_000)])).toContain('more than 100000 items');
    const row = [0xdc, 0x80, 0, ...new Uint8Array(0x8000)];
    expect(reason([0x94, ...row, ...row, ...row, ...row])).toContain('more than 100000 items');
  });

  heavy('a duplicate key among 40,000, in linear time', () => {
    const many = Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`k${String(i).padStart(5, '0')}`, i]));
    const bytes = encodeBody(many, 1_000_000);
    expect(decodeBody(bytes).ok).toBe(true);
    const at = Buffer.from(bytes).indexOf('k39999');
    bytes.set(text('k00007'), at);
    const tookMs = cpuMs(() => expect(reason(bytes)).toContain('the key k00007 twice'));
    expect(tookMs).toBeLessThan(1000); // pairwise comparison would take 800 million steps
  });

  heavy('a duplicate key among any number of keys at any position', () => {
    const missed: string[] = [];
    for (let count = 2; count < 40; count++)
      for (let first = 0; first < count - 1; first++) {
        const keys = Array.from({ length: count }, (_, i) => (i === count - 1 ? `k${first}` : `k${i}`));
        const bytes = [0xde, 0, count, ...keys.flatMap((key) => [...str(key), 1])];
        if (!reason(bytes).endsWith(`the key k${first} twice`)) missed.push(`${first} of ${count}`);
      }
    expect(missed).toEqual([]);
  });

  const valid = encodeBody(
    {
      id: 'photo-1',
      at: new Date(1_763_812_800_123),
      size: 12.5,
      count: 70_000,
      big: -12345678901234567890n,
      tags: new Set(['a', 'é', '😀']),
      byName: new Map<unknown, unknown>([['x', { y: [null, true, false] }]]),
      bytes: Buffer.from([1, 2, 3]),
    },
    1_000_000,
  );

  it('a body truncated at any byte', () => {
    expect(decodeBody(valid).ok).toBe(true);
    for (let end = 1; end < valid.length; end++)
      expect(reason(valid.subarray(0, end))).toMatch(/^byte \d+(?:, in [a-zA-Z\d.]+)?: /);
  });

  heavy('a body with one flipped bit, or reads it as a value that encodes again', () => {
    const harmed: string[] = [];
    for (let bit = 0; bit < valid.length * 8; bit++) {
      const bytes = Uint8Array.from(valid);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const decoded = decodeBody(bytes);
      const again = decoded.ok ? decodeBody(encodeBody(decoded.value, 1_000_000)) : decoded;
      if (!isDeepStrictEqual(again, decoded)) harmed.push(`bit ${bit}: is decoded as another value`);
      if (!decoded.ok && !decoded.reason.startsWith('byte '))
        harmed.push(`bit ${bit}: an error that is not of the reader: ${decoded.reason}`);
    }
    expect(harmed).toEqual([]);
  });

  it('no form that other MessagePack encoders write for the same values', () => {
    const foreign = [
      [0xca, 0x3f, 0x80, 0, 0], // float32 1
      [0xcf, ...u32(0x1fffff), ...u32(0xffffffff)], // uint64 2^53-1
      [0xd3, ...u32(0xffe00000), ...u32(1)], // int64 -2^53+1
      [0xde, 0, 1, 0xda, 0, 1, 0x61, 0xd0, 0xff], // {a: -1} with long lengths
      [0xd6, 0xff, ...u32(1)], // timestamp 32
      ext(0xff, [...u32(5e8), ...u32(0xffffffff), ...u32(0xffffffff)]), // timestamp 96, half a second before 1970
    ];
    expect(foreign.map((bytes) => decodeBody(Uint8Array.from(bytes)))).toEqual(
      [1, 2 ** 53 - 1, -(2 ** 53) + 1, { a: -1 }, new Date(1000), new Date(-500)].map((value) => ({ ok: true, value })),
    );
  });

  it('bytes beyond the given end', () => {
    expect(() => readBody(Uint8Array.from([0x92, 1, 1, 1]), 2, 100)).toThrow('2 items announced, 1 bytes left');
    expect(readBody(Uint8Array.from([0x91, 1, 0xc1]), 2, 100)).toEqual([1]);
  });
});
