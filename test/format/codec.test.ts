import vm from 'node:vm';
import fc from 'fast-check';
import { decodeBody, encodeBody } from '../../src/format/codec';
import { anyCharacter } from '../characters';
import { heavy } from '../heavy';
import { bytesMax, refusal, roundTrip } from './bodies';

const scalars = fc.oneof(
  fc.string({ unit: anyCharacter }),
  fc.double(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constant(null),
  fc.bigInt({ min: -(10n ** 100n) + 1n, max: 10n ** 100n - 1n }),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array({ maxLength: 300 }),
);
const keys = fc
  .string({ unit: anyCharacter })
  .filter(
    (key) => !['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toJSON', 'isPrototypeOf'].includes(key),
  );
const { body } = fc.letrec((tie) => ({
  body: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    scalars,
    fc.array(tie('body'), { maxLength: 20 }),
    fc.dictionary(keys, tie('body'), { maxKeys: 20, noNullPrototype: true }),
    fc.array(fc.tuple(fc.oneof(keys, fc.integer(), fc.bigInt()), tie('body')), { maxLength: 5 }).map((e) => new Map(e)),
    fc.array(fc.oneof(keys, fc.integer()), { maxLength: 5 }).map((members) => new Set(members)),
  ),
}));

describe('a body', () => {
  heavy('is decoded as the value that was encoded, for any composition', () => {
    fc.assert(
      fc.property(body, (value) => expect(roundTrip(value)).toStrictEqual(value)),
      { numRuns: 300 },
    );
  });

  it.each([
    NaN,
    Infinity,
    -Infinity,
    0,
    -0,
    2 ** 53 - 1,
    -(2 ** 53) + 1,
    2 ** 53,
    1e300,
    5e-324,
    0.1,
    -1,
    -33,
    127,
    128,
    65536,
  ])('keeps the number %d exactly', (number) => {
    expect(roundTrip(number)).toBe(number);
    expect(roundTrip({ n: [number] })).toStrictEqual({ n: [number] });
  });

  it.each([0n, 1n, -1n, 2n ** 53n + 1n, 2n ** 64n, -(2n ** 63n), 10n ** 100n - 1n, -(10n ** 100n) + 1n])(
    'keeps the bigint %d exactly, and a bigint',
    (number) => expect(roundTrip({ n: number })).toStrictEqual({ n: number }),
  );

  it.each([0, 1, -1, 999, -500, 1e12, 1e12 + 1, 2 ** 32 * 1000, 2 ** 34 * 1000 + 7, -1e14 - 3, 8.64e15, -8.64e15])(
    'keeps the Date at %d ms exactly',
    (ms) => expect(roundTrip([new Date(ms)])).toStrictEqual([new Date(ms)]),
  );

  it('keeps Maps and Sets inside each other, with keys of every type', () => {
    const key = { a: 1 };
    const value = new Map<unknown, unknown>([
      [1, new Set(['a', 1n, null, -0])],
      ['1', new Map([[NaN, new Date(5)]])],
      [key, [new Set([new Map()])]],
      [{ a: 1 }, Uint8Array.of(1, 2)],
    ]);
    expect(roundTrip({ value })).toStrictEqual({ value });
  });

  it('decodes a Buffer as a Uint8Array with its own memory', () => {
    const { bytes } = roundTrip({ bytes: Buffer.from('hello') }) as { bytes: Uint8Array };
    expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype);
    expect(Buffer.from(bytes).toString()).toBe('hello');
    expect(bytes.buffer.byteLength).toBe(5);
  });

  it('is zero bytes when it is undefined', () => {
    expect(encodeBody(undefined, bytesMax)).toHaveLength(0);
    expect(decodeBody(new Uint8Array(0))).toEqual({ ok: true, value: undefined });
    expect(roundTrip(null)).toBeNull();
  });

  it('treats an undefined property as absent', () => {
    expect(roundTrip({ a: undefined, b: { c: undefined } })).toStrictEqual({ b: {} });
  });

  it('can have no prototype, or one of another realm', () => {
    expect(roundTrip(Object.assign(Object.create(null), { a: 1 }))).toStrictEqual({ a: 1 });
    const foreign: unknown = vm.runInNewContext('({ a: [1, new Map([[1, new Set([2])]])], at: new Date(7) })');
    expect(roundTrip(foreign)).toStrictEqual({ a: [1, new Map([[1, new Set([2])]])], at: new Date(7) });
  });

  it('can have keys that are inherited property names', () => {
    const value = { hasOwnProperty: 1, toString: 'x', toJSON: 'y', valueOf: null, __proto: 1 };
    expect(roundTrip(value)).toStrictEqual(value);
  });

  it('is not affected by later changes to the value or the bytes', () => {
    const photo = { tags: ['a'], bytes: Buffer.from('one') };
    const encoded = encodeBody(photo, bytesMax);
    const before = Buffer.from(encoded);
    photo.tags[0] = 'b';
    photo.bytes.fill(0);
    encodeBody({ other: 'x'.repeat(100) }, bytesMax);
    expect(Buffer.from(encoded).equals(before)).toBe(true);

    const decoded = decodeBody(encoded);
    encoded.fill(0xff);
    decodeBody(encodeBody({ other: Buffer.alloc(100, 7) }, bytesMax));
    expect(decoded).toEqual({ ok: true, value: { tags: ['a'], bytes: new Uint8Array(Buffer.from('one')) } });
  });

  it('does not change the bytes that it is decoded from', () => {
    const encoded = encodeBody({ a: 1 }, bytesMax);
    decodeBody(Object.freeze(encoded.subarray(0, 0)));
    decodeBody(encoded);
    expect(Object.keys(encoded)).toHaveLength(encoded.length);
  });

  class Photo {
    id = 1;
  }
  class Pair extends Map<unknown, unknown> {}
  class List extends Array<unknown> {}
  it.each<[string, unknown, string]>([
    ['undefined in an array', { a: [1, undefined] }, 'a.1: undefined cannot be sent'],
    ['a hole in an array', { a: Array(2) }, 'a.0: undefined cannot be sent'],
    ['a field after a deeper one', { a: { b: [{ c: 1 }] }, d: () => 1 }, 'd: function cannot be sent'],
    ['undefined in a Map', new Map([['k', undefined]]), 'k: undefined cannot be sent'],
    ['undefined in a Set', { s: new Set([undefined]) }, 's.0: undefined cannot be sent'],
    ['a function', { a: { b: () => 1 } }, 'a.b: function cannot be sent'],
    ['a function as the whole body', () => 1, ': function cannot be sent'],
    ['a method toJSON', { toJSON: () => 1 }, 'toJSON: function cannot be sent'],
    ['a symbol', [Symbol('x')], '0: symbol cannot be sent'],
    ['an instance of a class', { photo: new Photo() }, 'photo: an instance of Photo cannot be sent'],
    ['a class derived from Map', { m: new Pair() }, 'm: an instance of Pair'],
    ['a class derived from Array', { l: List.from([1]) }, 'l: an instance of List'],
    ['an Error', { e: new Error('x') }, 'e: an instance of Error'],
    ['a RegExp', [/a/], '0: an instance of RegExp'],
    ['a promise', { p: Promise.resolve(1) }, 'p: an instance of Promise'],
    ['a different typed array', { f: new Float64Array(2) }, 'f: an instance of Float64Array'],
    ['an ArrayBuffer', { f: new ArrayBuffer(2) }, 'f: an instance of ArrayBuffer'],
    ['a boxed string', { s: Object('a') as unknown }, 's: an instance of String'],
    ['an inherited object', { o: Object.create({ a: 1 }) as unknown }, 'o: an instance of Object'],
    ['an invalid Date', { at: new Date(NaN) }, 'at: an invalid Date'],
    ['a bigint of 101 digits', { n: 10n ** 100n }, 'n: a bigint has at most 100 digits'],
    ['half a surrogate pair', { s: 'a\ud800b' }, 's: a string with half a surrogate pair'],
    ['a key with half a surrogate pair', { a: { '\udc00': 1 } }, 'a.\udc00: a string with half a surrogate pair'],
    ['the key __proto__', { a: JSON.parse('{"__proto__":{"x":1}}') as unknown }, 'a.__proto__: the key is not allowed'],
    ['the key constructor', { constructor: 1 }, 'constructor: the key is not allowed'],
    ['the key prototype', { a: [{ prototype: 1 }] }, 'a.0.prototype: the key is not allowed'],
  ])('is refused with the field when it contains %s', (_, value, message) => {
    expect(refusal(value)).toContain(message);
  });

  it('is refused with the path of the cycle when it contains itself', () => {
    const photo: Record<string, unknown> = { id: 1, owner: {} };
    photo.owner = { photos: [1, photo] };
    expect(refusal({ photo })).toBe('photo.owner.photos.1: the value contains itself');
    const self = new Map<string, unknown>();
    self.set('me', self);
    expect(refusal(self)).toBe('me: the value contains itself');
  });

  it('can contain the same object twice', () => {
    const owner = { id: 1 };
    expect(roundTrip([owner, owner])).toStrictEqual([owner, owner]);
  });

  it('is refused with the field when a getter or proxy throws', () => {
    const getter = {
      a: {
        get b(): unknown {
          throw new Error('no database');
        },
      },
    };
    expect(refusal(getter)).toBe('a.b: reading the value threw: no database');
    const proxy = new Proxy(
      {},
      {
        ownKeys: () => {
          throw Object.create(null);
        },
      },
    ); // eslint-disable-line
    expect(refusal([proxy])).toBe('0: reading the value threw');
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    expect(refusal({ p: revoked.proxy })).toMatch(/^p: reading the value threw: /);
  });

  it('has each property read once, so a getter cannot return two values', () => {
    let reads = 0;
    const shifty = {
      get a(): unknown {
        return reads++ === 0 ? 'fine' : () => 1;
      },
    };
    expect(roundTrip(shifty)).toStrictEqual({ a: 'fine' });
    expect(reads).toBe(1);
  });

  it('can be encoded while another body is being decoded', () => {
    const outer = {
      a: 1,
      get b(): unknown {
        return roundTrip({ inner: new Map([[1, 2]]) });
      },
      c: new Set([3]),
    };
    expect(roundTrip(outer)).toStrictEqual({ a: 1, b: { inner: new Map([[1, 2]]) }, c: new Set([3]) });
  });

  it('has at most 100 levels unless another limit is given', () => {
    const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
    expect(roundTrip(nested(100))).toStrictEqual(nested(100));
    expect(refusal(nested(101))).toMatch(/^(0\.){99}0: nested deeper than 100 \(bodyDepthMax\)$/);
    expect(() => encodeBody(nested(4), bytesMax, 'input', 'm.e', 3)).toThrow(
      '0.0.0: nested deeper than 3 (bodyDepthMax)',
    );
    const bytes = encodeBody(nested(4), bytesMax);
    expect(decodeBody(bytes, 4)).toEqual({ ok: true, value: nested(4) });
    expect(decodeBody(bytes, 3)).toMatchObject({
      ok: false,
      reason: 'byte 4, in 0.0.0: nested deeper than 3 (bodyDepthMax)',
    });
    expect(decodeBody(encodeBody(nested(101), bytesMax, 'input', 'm.e', 101)).ok).toBe(false);
  });

  describe('with 10,000 levels', () => {
    const levels = 10_000;
    const makers: Readonly<Record<string, (inner: unknown) => unknown>> = {
      arrays: (inner) => [0, inner],
      objects: (inner) => ({ a: inner, b: 1 }),
      Maps: (inner) => new Map([['k', inner]]),
      Sets: (inner) => new Set([inner]),
    };
    const make = (kind: string): unknown => {
      let value: unknown = 'end';
      for (let n = 0; n < levels; n++) value = makers[kind]!(value);
      return value;
    };
    /** Counts the levels of nesting. */
    const depthOf = (value: unknown): number => {
      let depth = 0;
      for (let inner = value; inner !== 'end'; depth++) {
        if (inner instanceof Map || inner instanceof Set) [inner] = inner.values();
        else inner = Array.isArray(inner) ? inner[1] : (inner as { a: unknown }).a;
      }
      return depth;
    };
    it.each(Object.keys(makers))('nested %s are encoded and decoded if the option allows it', (kind) => {
      const bytes = encodeBody(make(kind), bytesMax, 'input', 'm.e', levels);
      const decoded = decodeBody(bytes, levels);
      expect(decoded.ok && depthOf(decoded.value)).toBe(levels);
      expect(decodeBody(bytes, levels - 1)).toMatchObject({
        ok: false,
        reason: expect.stringContaining('nested deeper than 9999'),
      });
      expect(refusal(make(kind))).toContain('nested deeper than 100 (bodyDepthMax)');
    });

    it('is refused when it contains itself', () => {
      const self: Record<string, unknown> = { id: 1 };
      self['self'] = [self];
      expect(() => encodeBody({ self }, bytesMax, 'input', 'm.e', levels)).toThrow(
        'self.self.0: the value contains itself',
      );
    });

    it('needs no more stack than a flat one', () => {
      const value = make('objects');
      const bytes = encodeBody(value, bytesMax, 'input', 'm.e', levels);
      // Most of the stack is already used when the body is encoded and decoded.
      const deep = (left: number): boolean =>
        left > 0
          ? deep(left - 1)
          : encodeBody(value, bytesMax, 'input', 'm.e', levels).length === bytes.length && decodeBody(bytes, levels).ok;
      expect(deep(5_000)).toBe(true);
    });
  });

  heavy('has at most 100,000 items, and is refused before they are read', () => {
    expect(roundTrip(Array(100_000).fill(1))).toHaveLength(100_000);
    expect(refusal({ list: Array(1e9) })).toBe('list: more than 100000 items');
    const a = Array(1000).fill(1);
    expect(refusal(Array(101).fill(a))).toMatch(/: more than 100000 items$/);
  });

  it('is TooLarge with both sizes when it exceeds its limit', () => {
    expect(() => encodeBody('x'.repeat(97), 100)).not.toThrow();
    for (const value of [
      'x'.repeat(98),
      'é'.repeat(50),
      [Buffer.alloc(99)],
      Array(100).fill(1),
      { a: 'x'.repeat(1e7) },
    ])
      expect(() => encodeBody(value, 99)).toThrow(
        expect.objectContaining({ code: 'TooLarge', details: { bytes: expect.any(Number), limitBytes: 99 } }),
      );
  });

  it('is not read to its end when it exceeds its limit', () => {
    let read = false;
    const value = {
      large: 'x'.repeat(101),
      get more(): string {
        read = true;
        return '';
      },
    };
    expect(() => encodeBody(value, 100)).toThrow(expect.objectContaining({ code: 'TooLarge' }));
    expect(read).toBe(false);
  });

  it('is named input, reply or failure when it is refused', () => {
    expect(() => encodeBody({ a: () => 1 }, bytesMax, 'reply')).toThrow(
      expect.objectContaining({ message: 'reply cannot be sent: a: function cannot be sent', code: 'Invalid' }),
    );
  });
});
