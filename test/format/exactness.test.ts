/**
 * Values that JavaScript, MessagePack and JSON represent differently. Each arrives exactly, or is Invalid at its sender
 * and unreadable at its receiver, with the path of the field.
 */
import { isDeepStrictEqual } from 'node:util';
import vm from 'node:vm';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { decodeBody, encodeBody } from '../../src/format/codec';
import { readJson } from '../../src/format/exact-json';
import { decodeValue } from '../../src/format/json';
import { anyCharacter } from '../characters';
import { heavy, tries } from '../heavy';
import { bytesMax, refusal, roundTrip } from './bodies';

const bom = '\ufeff';

/** Runs `code` with `value` in a realm with classes of its own. */
const realm = vm.createContext({});
function foreign(code: string, value?: unknown): unknown {
  const run = vm.runInContext(`(value) => (${code})`, realm) as (given: unknown) => unknown;
  return run(value);
}
/** Copies a value with the classes of another realm. */
const remade = vm.runInContext(
  `(value, is) => {
    const remake = (one) => {
      if (typeof one !== 'object' || one === null) return one;
      if (is.date(one)) return new Date(one.getTime());
      if (is.bytes(one)) return Uint8Array.from(one);
      if (is.map(one)) return new Map(Array.from(one, ([key, item]) => [remake(key), remake(item)]));
      if (is.set(one)) return new Set(Array.from(one, remake));
      if (Array.isArray(one)) return Array.from(one, remake);
      return Object.fromEntries(Object.entries(one).map(([key, item]) => [key, remake(item)]));
    };
    return remake(value);
  }`,
  realm,
) as (value: unknown, is: object) => unknown;
const is = {
  date: (one: unknown) => one instanceof Date,
  bytes: (one: unknown) => one instanceof Uint8Array,
  map: (one: unknown) => one instanceof Map,
  set: (one: unknown) => one instanceof Set,
};

describe('a value of another realm arrives as the same value of the receiver', () => {
  it.each<[string, unknown]>([
    ['Uint8Array.of(1, 2, 3)', Uint8Array.of(1, 2, 3)],
    ['({ file: { bytes: Uint8Array.of(1) } })', { file: { bytes: Uint8Array.of(1) } }],
    [
      'new Map([["a", Uint8Array.of(1)], [Uint8Array.of(2), 3]])',
      new Map<unknown, unknown>([
        ['a', Uint8Array.of(1)],
        [Uint8Array.of(2), 3],
      ]),
    ],
    ['new Set([Uint8Array.of(9)])', new Set([Uint8Array.of(9)])],
    ['[new Uint8Array(0)]', [new Uint8Array(0)]],
    ['new Uint8Array(new ArrayBuffer(8), 2, 3)', new Uint8Array(3)],
    ['new Uint8Array(new SharedArrayBuffer(4))', new Uint8Array(4)],
    ['new Date(5)', new Date(5)],
    ['({ a: [1, [2]], b: null, c: Object.create(null) })', { a: [1, [2]], b: null, c: {} }],
    ['[NaN, -0, 10n ** 30n, "é"]', [NaN, -0, 10n ** 30n, 'é']],
    ['new Map([[new Map([[1, 2]]), new Set([new Date(3)])]])', new Map([[new Map([[1, 2]]), new Set([new Date(3)])]])],
  ])('%s', (code, value) => {
    expect(isDeepStrictEqual(roundTrip(foreign(code)), value)).toBe(true);
  });

  it('when it is of the realm of the test runner', () => {
    const value = { bytes: Uint8Array.of(1, 2), at: new Date(3), m: new Map([['a', new Set([1])]]), list: [[1n]] };
    expect(isDeepStrictEqual(roundTrip(structuredClone(value)), value)).toBe(true);
    expect(isDeepStrictEqual(roundTrip(Buffer.from([1, 2])), Uint8Array.of(1, 2))).toBe(true);
  });

  it('although its own properties shadow those of its class', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    Object.defineProperty(bytes, 'length', { value: 1 });
    expect(isDeepStrictEqual(roundTrip(bytes), Uint8Array.of(1, 2, 3))).toBe(true);
    const map = new Map([['a', 1]]);
    Object.defineProperty(map, Symbol.iterator, { value: () => [][Symbol.iterator]() });
    expect(isDeepStrictEqual(roundTrip(map), new Map([['a', 1]]))).toBe(true);
    const date = new Date(7);
    Object.defineProperty(date, 'getTime', { value: () => 8 });
    expect(isDeepStrictEqual(roundTrip(date), new Date(7))).toBe(true);
  });
});

describe('a value that would arrive changed is Invalid, in any realm', () => {
  const codes: readonly (readonly [code: string, message: string])[] = [
    ['undefined', 'undefined cannot be sent'],
    ['() => 1', 'function cannot be sent'],
    ['Symbol("x")', 'symbol cannot be sent'],
    ['new Error("x")', 'an instance of Error'],
    ['new RegExp("x")', 'an instance of RegExp'],
    ['new (class Photo {})()', 'an instance of Photo'],
    ['Object.create({ a: 1 })', 'an instance of Object'],
    ['Object.create(Object.create(null))', 'an object with its own prototype'],
    ['new (class Pair extends Map {})()', 'an instance of Pair'],
    ['new (class Bytes extends Uint8Array {})(2)', 'an instance of Bytes'],
    ['new (class List extends Array {})()', 'an instance of List'],
    ['new (class Day extends Date {})()', 'an instance of Day'],
    ['new Uint8ClampedArray(2)', 'an instance of Uint8ClampedArray'],
    ['new Int8Array(2)', 'an instance of Int8Array'],
    ['new Uint16Array(2)', 'an instance of Uint16Array'],
    ['new Float32Array(2)', 'an instance of Float32Array'],
    ['new Float64Array(2)', 'an instance of Float64Array'],
    ['new BigInt64Array(2)', 'an instance of BigInt64Array'],
    ['new ArrayBuffer(2)', 'an instance of ArrayBuffer'],
    ['new SharedArrayBuffer(2)', 'an instance of SharedArrayBuffer'],
    ['new DataView(new ArrayBuffer(2))', 'an instance of DataView'],
    ['new WeakMap()', 'an instance of WeakMap'],
    ['new WeakSet()', 'an instance of WeakSet'],
    ['Promise.resolve(1)', 'an instance of Promise'],
    ['Object("a")', 'an instance of String'],
    ['Object(1)', 'an instance of Number'],
    ['Object(true)', 'an instance of Boolean'],
    ['Object(1n)', 'an instance of BigInt'],
    ['Object(Symbol("x"))', 'an instance of Symbol'],
    ['[][Symbol.iterator]()', 'cannot be sent'],
    ['(function* () {})()', 'cannot be sent'],
    ['new Proxy(new Date(), {})', 'an instance of Date'],
    ['new Proxy(new Map(), {})', 'an instance of Map'],
    ['new Proxy(new Uint8Array(1), {})', 'an instance of Uint8Array'],
    ['Math', '[object Math] cannot be sent'],
    ['JSON', '[object JSON] cannot be sent'],
    ['(function () { return arguments; })(1, 2)', '[object Arguments] cannot be sent'],
    ['Object.setPrototypeOf(new Date(), Object.prototype)', '[object Date] cannot be sent'],
    ['Object.setPrototypeOf(new Uint8Array(2), Object.prototype)', 'a built-in object whose prototype was replaced'],
    ['Object.setPrototypeOf(new Float64Array(2), null)', 'a built-in object whose prototype was replaced'],
    ['Object.setPrototypeOf(new ArrayBuffer(2), Object.prototype)', 'a built-in object whose prototype was replaced'],
    ['Object.setPrototypeOf(new Map([[1, 2]]), Object.prototype)', 'a built-in object whose prototype was replaced'],
    ['Object.setPrototypeOf(new Set([1]), null)', 'a built-in object whose prototype was replaced'],
    ['new Date(NaN)', 'an invalid Date'],
    ['Object.assign(new Date(5), { zone: "UTC" })', 'with an own property, zone'],
    ['Object.assign(new Map(), { name: "m" })', 'with an own property, name'],
    ['Object.assign(new Set(), { name: "s" })', 'with an own property, name'],
    ['10n ** 100n', 'a bigint has at most 100 digits'],
    ['"a\\ud800"', 'half a surrogate pair'],
    ['"\\udc00a"', 'half a surrogate pair'],
    ['"x".repeat(100) + "\\ud800"', 'half a surrogate pair'],
    ['new Array(1)', 'undefined cannot be sent'],
    ['JSON.parse(\'{"__proto__": 1}\')', 'the key is not allowed'],
  ];
  const here = (code: string): unknown => vm.runInThisContext(`(${code})`);
  const places: readonly (readonly [string, (value: unknown) => unknown, string])[] = [
    ['in an object', (value) => ({ a: { b: [0, value] } }), 'a.b.1'],
    ['in a Map', (value) => new Map([['k', value]]), 'k'],
    ['as a key of a Map', (value) => [new Map([[value, 1]])], '0.0'],
    ['in a Set', (value) => ({ s: new Set([1, value]) }), 's.1'],
  ];
  it.each(codes)('%s', (code, message) => {
    for (const make of [here, foreign]) {
      for (const [, put, path] of places) {
        const value = make(code);
        const said = refusal(put(value));
        expect(said).toContain(message);
        // The path of a key that is a string is the key itself.
        expect(
          said.startsWith(path) || (typeof value === 'string' && said.startsWith(`0.${value.slice(0, 100)}`)),
        ).toBe(true);
      }
      if (code !== 'undefined') expect(refusal(make(code))).toContain(message); // as the whole body
    }
  });

  it('bytes whose memory was transferred', () => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expect(refusal({ bytes })).toMatch(/^bytes: reading the value threw: .*detached/);
  });

  it('a URL and other classes of Node.js, by name', () => {
    expect(refusal([new URL('http://localhost')])).toContain('0: an instance of URL cannot be sent');
    expect(refusal([new AbortController().signal])).toContain('0: an instance of AbortSignal');
    expect(refusal([new Headers()])).toContain('0: an instance of Headers');
  });
});

describe('a string arrives with its byte order mark and control characters', () => {
  it.each([1, 15, 16, 30, 31, 32, 40, 41, 62, 63, 64, 65, 100, 255, 256, 65_535, 65_536])(
    'with %d of each',
    (length) => {
      for (const letter of ['a', 'é', '\u0000', bom, '\uffff', '\u2028']) {
        for (const text of [
          letter.repeat(length),
          `${bom}${letter.repeat(length)}`,
          `${letter.repeat(length)}${bom}`,
        ]) {
          const value = { text, [text.slice(0, 300)]: 1 };
          expect(isDeepStrictEqual(roundTrip(value), value)).toBe(true);
        }
      }
    },
  );
});

const str = (s: string): number[] => [0xa0 + Buffer.byteLength(s), ...Buffer.from(s)];
const u32 = (n: number): number[] => [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
const at = (value: readonly number[]): Uint8Array => Uint8Array.of(0x81, ...str('a'), 0x92, 1, ...value);

describe('MessagePack of foreign producers', () => {
  it.each<[string, readonly number[], unknown]>([
    ['uint64 up to 2^53 - 1', [0xcf, ...u32(0x1fffff), ...u32(0xffffffff)], 2 ** 53 - 1],
    ['int64 down to -2^53 + 1', [0xd3, ...u32(0xffe00000), ...u32(1)], -(2 ** 53) + 1],
    ['int64 of a small number', [0xd3, ...u32(0xffffffff), ...u32(0xffffffff)], -1],
    ['float32 0.1, as the double it stands for', [0xca, 0x3d, 0xcc, 0xcc, 0xcd], 0.10000000149011612],
    ['float32 -0', [0xca, 0x80, 0, 0, 0], -0],
    ['float32 NaN', [0xca, 0x7f, 0xc0, 0, 0], NaN],
    ['float32 infinity', [0xca, 0x7f, 0x80, 0, 0], Infinity],
    ['float64 2^53, as every double', [0xcb, 0x43, 0x40, 0, 0, 0, 0, 0, 0], 2 ** 53],
    ['float64 -0', [0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0], -0],
    ['float64 NaN of any bits', [0xcb, 0xff, 0xf8, 0, 0, 0, 0, 0, 1], NaN],
    ['a string with a byte order mark', str(`${bom}x`), `${bom}x`],
    ['bytes that are not text', [0xc4, 2, 0xff, 0xfe], Uint8Array.of(0xff, 0xfe)],
    ['timestamp 32', [0xd6, 0xff, ...u32(1)], new Date(1000)],
    ['timestamp 64 of whole milliseconds', [0xd7, 0xff, ...u32(7e6 * 4), ...u32(1)], new Date(1007)],
    ['timestamp 96 before 1970', [0xc7, 12, 0xff, ...u32(1e6), ...u32(0xffffffff), ...u32(0xffffffff)], new Date(-999)],
    ['nil', [0xc0], null],
  ])('%s is read exactly', (_what, bytes, value) => {
    const decoded = decodeValue(at(bytes));
    expect(decoded.ok && isDeepStrictEqual(decoded.value, { a: [1, value] })).toBe(true);
  });

  it.each<[string, readonly number[], string]>([
    ['uint64 2^53', [0xcf, ...u32(0x200000), ...u32(0)], 'an integer beyond 2^53'],
    ['uint64 2^64 - 1', [0xcf, ...u32(0xffffffff), ...u32(0xffffffff)], 'an integer beyond 2^53'],
    ['int64 -2^63', [0xd3, ...u32(0x80000000), ...u32(0)], 'an integer beyond 2^53'],
    ['a number as a key', [0x81, 1, 1], 'a key that is not a string'],
    ['bytes as a key', [0x81, 0xc4, 1, 65, 1], 'a key that is not a string'],
    ['nil as a key', [0x81, 0xc0, 1], 'a key that is not a string'],
    ['a key twice', [0x82, ...str('b'), 1, ...str('b'), 2], 'the key b twice'],
    ['a key twice in two forms', [0x82, ...str('b'), 1, 0xda, 0, 1, 0x62, 2], 'the key b twice'],
    ['the key __proto__', [0x81, ...str('__proto__'), 1], 'the key __proto__'],
    ['text that is not valid UTF-8', [0xa1, 0xff], 'a string that is not valid UTF-8'],
    ['a surrogate in UTF-8', [0xa3, 0xed, 0xa0, 0x80], 'a string that is not valid UTF-8'],
    ['a timestamp of nanoseconds', [0xd7, 0xff, ...u32(4), ...u32(1)], 'a timestamp with a fraction of a millisecond'],
    [
      'a timestamp that a Date cannot hold',
      [0xc7, 12, 0xff, ...u32(0), ...u32(0x7fffffff), ...u32(0)],
      'a Date cannot hold',
    ],
    ['an extension of another library', [0xd4, 0x01, 0], 'extension type 0x01 is not known'],
    ['a key of a Map twice', [0xc7, 5, 0x4d, 0x94, 1, 1, 1, 2], 'the same key twice in a Map'],
    [
      '-0 as a key of a Map, which would be 0',
      [0xc7, 11, 0x4d, 0x92, 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0, 1],
      '-0 as a key',
    ],
    ['-0 in a Set, which would be 0', [0xc7, 10, 0x53, 0x91, 0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0], '-0 as a key'],
    [
      '1 in a Set twice, once as a float',
      [0xc7, 11, 0x53, 0x92, 1, 0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0],
      'member twice',
    ],
    ['0xc1', [0xc1], '0xc1 is not a type'],
  ])('%s is not readable, with its path', (_what, bytes, reason) => {
    const decoded = decodeValue(at(bytes));
    expect(decoded).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
    expect(decoded).toMatchObject({ path: expect.arrayContaining(['a']), reason: expect.stringMatching(/in a\.1/) });
  });

  it('the path of a field covers objects, lists, Maps and Sets', () => {
    const path = (bytes: readonly number[]) => {
      const decoded = decodeBody(Uint8Array.from(bytes));
      return decoded.ok ? undefined : decoded.path;
    };
    const ext = (type: string, payload: readonly number[]) => [0xc7, payload.length, type.charCodeAt(0), ...payload];
    expect(path([0x81, ...str('k'), ...ext('M', [0x92, ...str('name'), 0xc1])])).toEqual(['k', 'name']);
    expect(path(ext('M', [0x94, 1, 2, 3, 0xc1]))).toEqual([1]);
    expect(path(ext('M', [0x94, 1, 2, 0xc1, 3]))).toEqual([1]);
    expect(path(ext('S', [0x92, 1, 0x91, 0xc1]))).toEqual([1, 0]);
    expect(path([0x82, ...str('a'), 1, ...str('b'), 0xc1])).toEqual(['b']);
    expect(path([0xc1])).toEqual([]);
  });
});

describe('JSON of foreign producers', () => {
  const json = (text: string) => decodeValue(Buffer.from(`{"a": [1, ${text}]}`));
  it.each<[string, unknown]>([
    ['9007199254740991', 2 ** 53 - 1],
    ['-9007199254740991', -(2 ** 53) + 1],
    ['-0', -0],
    ['-0.0', -0],
    ['0e999', 0],
    ['0.1', 0.1],
    ['0.10', 0.1],
    ['1.5e300', 1.5e300],
    ['1e22', 1e22],
    ['1E+2', 100],
    ['100e-2', 1],
    ['5e-324', 5e-324],
    ['2.2250738585072014e-308', 2.2250738585072014e-308],
    ['1.7976931348623157e308', Number.MAX_VALUE],
    ['0.30000000000000004', 0.1 + 0.2],
    ['0.10000000000000001', 0.1], // C with %.17g
    ['9007199254740992.0', 2 ** 53], // a double of Python
    ['3.602879701896397e16', 2 ** 55],
    ['123456789012345.50', 123456789012345.5],
    ['1401855715665091.2', 1401855715665091.25], // how JavaScript prints it
    ['"\\ufeffx"', '\ufeffx'],
    ['"\\ud83d\\ude00"', '😀'],
    ['{"toString": 1, "": 2}', { toString: 1, '': 2 }],
  ])('%s is read exactly', (text, value) => {
    const decoded = json(text);
    expect(decoded.ok && isDeepStrictEqual(decoded.value, { a: [1, value] })).toBe(true);
  });

  it.each<[string, string]>([
    ['9007199254740992', 'the whole number 9007199254740992, which is beyond 2^53'],
    ['9007199254740993', 'the whole number 9007199254740993, which is beyond 2^53'],
    ['-9007199254740993', 'beyond 2^53'],
    ['36028797018963970', 'beyond 2^53'], // what JavaScript prints for 36028797018963968
    ['12345678901234567890', 'beyond 2^53'],
    ['100000000000000000000', 'beyond 2^53'],
    ['9007199254740993.0', 'cannot hold'],
    ['9.007199254740993e15', 'cannot hold'],
    ['0.1234567890123456789', 'more than 17 digits'],
    ['3.141592653589793238', 'more than 17 digits'],
    ['0.1000000000000000055511151231257827', 'more than 17 digits'],
    ['1e400', 'cannot hold'],
    ['-1e400', 'cannot hold'],
    ['1e-400', 'cannot hold'],
    ['4e-324', 'cannot hold'],
    ['1.7976931348623159e308', 'cannot hold'],
    ['28565979003906250000.0', 'more than 17 digits'],
    ['0.12345678901234567', 'cannot hold'], // 0.12345678901234568 is the nearest one
    ['{"b": 1, "b": 2}', 'the key "b" twice'],
    ['{"b": 1, "b": 1}', 'the key "b" twice'],
    ['{"b": 1, "\\u0062": 2}', 'the key "b" twice'],
    ['{"__proto__": 1}', 'the key "__proto__"'],
    ['{"\\u005f_proto__": {}}', 'the key "__proto__"'],
    ['{"constructor": 1}', 'the key "constructor"'],
    ['{"prototype": 1}', 'the key "prototype"'],
    ['"\\ud800"', 'half a surrogate pair'],
    ['"x\\udc00y"', 'half a surrogate pair'],
    ['{"\\ud800": 1}', 'half a surrogate pair'],
  ])('%s is not readable, with its path', (text, reason) => {
    const decoded = json(text);
    expect(decoded).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
    expect(decoded).toMatchObject({ path: expect.arrayContaining(['a']), reason: expect.stringContaining(': a.1') });
  });

  it.each<[string, Uint8Array, string]>([
    ['a byte order mark', Buffer.from(`${bom}{"a": 1}`), 'neither MessagePack nor a JSON object'],
    ['spaces before it', Buffer.from(' {"a": 1}'), 'neither MessagePack nor a JSON object'],
    ['a line before it', Buffer.from('\n[1]'), 'neither MessagePack nor a JSON object'],
    ['a number', Buffer.from('12'), 'neither MessagePack nor a JSON object'],
    ['null', Buffer.from('null'), 'neither MessagePack nor a JSON object'],
    ['true', Buffer.from('true'), 'neither MessagePack nor a JSON object'],
    ['two values', Buffer.from('{"a": 1}{"b": 2}'), 'it begins like JSON, but is not JSON'],
    ['bytes behind it', Buffer.from('{"a": 1}\0'), 'it begins like JSON, but is not JSON'],
    ['NaN', Buffer.from('[NaN]'), 'it begins like JSON, but is not JSON'],
    ['UTF-16', Buffer.from('[1]', 'utf16le'), 'it begins like JSON, but is not JSON'],
    ['a text that is not valid UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'not valid UTF-8'],
    ['Latin-1', Buffer.from('"é"', 'latin1'), 'not valid UTF-8'],
  ])('with %s is unreadable', (_what, bytes, reason) => {
    expect(decodeValue(bytes)).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
  });
});

describe('no bytes are valid as both MessagePack and JSON', () => {
  it('a single digit is refused as ambiguous, and no number is encoded so', () => {
    for (let digit = 0; digit <= 9; digit++) {
      const byte = 0x30 + digit;
      expect(decodeValue(Buffer.from(String(digit)))).toMatchObject({
        ok: false,
        reason: expect.stringContaining(`${byte} in MessagePack and ${digit} in JSON`),
      });
      const written = encodeBody(byte, bytesMax);
      expect(decodeValue(written)).toEqual({ ok: true, value: byte });
      expect(decodeBody(written)).toEqual({ ok: true, value: byte });
    }
  });

  it('every other byte and every pair of bytes is read in one form only', () => {
    const text = new TextDecoder('utf-8', { fatal: true });
    const isJson = (bytes: Uint8Array): boolean => {
      try {
        JSON.parse(text.decode(bytes));
        return true;
      } catch {
        return false;
      }
    };
    const both: string[] = [];
    for (let first = 0; first < 256; first++) {
      for (let second = -1; second < 256; second++) {
        const bytes = second < 0 ? Uint8Array.of(first) : Uint8Array.of(first, second);
        if (isJson(bytes) && decodeBody(bytes).ok && decodeValue(bytes).ok)
          both.push(Buffer.from(bytes).toString('hex'));
      }
    }
    expect(both).toEqual([]);
  });
});

const keys = fc
  .string({ unit: anyCharacter, maxLength: 40 })
  .filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key));
const texts = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 100 }),
  fc.string({ unit: anyCharacter }).map((s) => bom + s),
);
const scalars = fc.oneof(
  texts,
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constant(null),
  fc.bigInt({ min: -(10n ** 100n) + 1n, max: 10n ** 100n - 1n }),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 300 }),
);
const { body } = fc.letrec((tie) => ({
  body: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    scalars,
    fc.array(tie('body'), { maxLength: 20 }),
    fc.dictionary(keys, tie('body'), { maxKeys: 20, noNullPrototype: true }),
    fc.array(fc.tuple(fc.oneof(keys, fc.integer()), tie('body')), { maxLength: 5 }).map((pairs) => new Map(pairs)),
    fc.array(fc.oneof(keys, fc.integer()), { maxLength: 5 }).map((members) => new Set(members)),
  ),
}));

describe('any value', () => {
  heavy('arrives unchanged from any realm', () => {
    fc.assert(
      fc.property(body, (value) => {
        for (const made of [value, remade(value, is), structuredClone(value)])
          if (!isDeepStrictEqual(roundTrip(made), value)) throw new Error('another value arrived');
      }),
      { numRuns: tries(500) },
    );
  });

  heavy('with common types is read alike by another library, in both directions', () => {
    const other = new Packr({ useRecords: false, int64AsType: 'number' });
    const { common } = fc.letrec((tie) => ({
      common: fc.oneof(
        { maxDepth: 4, depthSize: 'small' },
        fc.string({ unit: anyCharacter, maxLength: 60 }),
        fc.double(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) }),
        fc.array(tie('common'), { maxLength: 20 }),
        fc.dictionary(keys, tie('common'), { maxKeys: 20, noNullPrototype: true }),
      ),
    }));
    const minusZero = (value: unknown): string =>
      JSON.stringify(value, (_key, one: unknown) => (Object.is(one, -0) ? 0 : one));
    fc.assert(
      fc.property(common, (value) => {
        expect(minusZero(other.unpack(encodeBody(value, bytesMax)))).toBe(minusZero(value));
        const decoded = decodeBody(Uint8Array.from(other.pack(value)));
        expect(minusZero(decoded.ok && decoded.value)).toBe(minusZero(value));
      }),
      { numRuns: tries(500) },
    );
  });
});

describe('any JSON', () => {
  heavy('is read exactly from JSON.stringify, or refused for its number, key or surrogate', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.double({ noNaN: true, noDefaultInfinity: true })), (value) => {
        const text = JSON.stringify([value]);
        const read = readJson(text, { depthMax: 100 });
        if (read.ok) expect(JSON.stringify(read.value)).toBe(text);
        else expect(read.reason).toMatch(/beyond 2\^53|the key "(?:__proto__|constructor|prototype)"|surrogate/);
      }),
      { numRuns: tries(3_000) },
    );
  });

  /** Returns a decimal as a fraction of integers, to compare without rounding. */
  function fractionOf(token: string): { readonly above: bigint; readonly below: bigint } {
    const [, sign = '', whole = '', fraction = '', exponent = '0'] =
      /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(token) ?? [];
    const power = Number(exponent) - fraction.length;
    const digits = BigInt(`${sign}${whole}${fraction}`);
    return power >= 0
      ? { above: digits * 10n ** BigInt(power), below: 1n }
      : { above: digits, below: 10n ** BigInt(-power) };
  }
  /** Returns the exact value of a double. */
  function fractionOfDouble(value: number): { readonly above: bigint; readonly below: bigint } {
    let power = 0;
    let whole = value;
    while (!Number.isInteger(whole)) [whole, power] = [whole * 2, power + 1];
    return { above: BigInt(whole), below: 2n ** BigInt(power) };
  }

  heavy('number is read within half a unit of its last digit', () => {
    const token = fc
      .tuple(fc.boolean(), fc.bigInt({ min: 0n, max: 10n ** 20n }), fc.nat(20), fc.integer({ min: -30, max: 30 }))
      .map(([minus, digits, point, exponent]) => {
        const text = String(digits).padStart(point + 1, '0');
        const at = text.length - point;
        const decimal = point === 0 ? `${text}.0` : `${text.slice(0, at)}.${text.slice(at)}`;
        return `${minus ? '-' : ''}${decimal}e${exponent}`;
      });
    let exact = 0;
    fc.assert(
      fc.property(token, (text) => {
        const read = readJson(text, { depthMax: 100 });
        if (!read.ok || typeof read.value !== 'number') return;
        exact++;
        const [said, is] = [fractionOf(text), fractionOfDouble(read.value)];
        const [, fraction = '', exponent = '0'] = /\.(\d+)e([+-]?\d+)$/.exec(text) ?? [];
        const last = Number(exponent) - fraction.replace(/0+$/, '').length; // the place of its last significant digit
        const difference = said.above * is.below - is.above * said.below;
        const size = difference < 0n ? -difference : difference;
        const halves =
          last >= 0 ? 10n ** BigInt(last) * said.below * is.below : (said.below * is.below) / 10n ** BigInt(-last);
        expect(2n * size).toBeLessThanOrEqual(halves);
      }),
      { numRuns: tries(3_000) },
    );
    expect(exact).toBeGreaterThan(10);
  });
});
