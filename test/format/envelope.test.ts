import vm from 'node:vm';
import fc from 'fast-check';
import type { Envelope } from '../../src/format/envelope-fields';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { printEnvelope } from '../../src/format/envelope-printer';
import { anyCharacter } from '../characters';
import { tries } from '../heavy';

const request: Envelope = {
  kind: 'request',
  entry: 'photos.add',
  id: '01jd3k5q9wzx7v8c2b000001',
  from: 'web#a02f',
  stamp: { incarnation: '9f86d081884c7d65', position: 42 },
};
const line = '1 request photos.add 01jd3k5q9wzx7v8c2b000001 web#a02f 9f86d081884c7d65:42';

const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
const whole = maybe(fc.nat(Number.MAX_SAFE_INTEGER));
// eslint-disable-next-line no-control-regex
const controls = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
const word = fc.string({ unit: anyCharacter, minLength: 1, maxLength: 60 }).filter((text) => !controls.test(text));
const json = fc.dictionary(
  fc.string().filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key)),
  fc.oneof(fc.string({ unit: anyCharacter }), fc.integer(), fc.boolean(), fc.constant(null)),
  { minKeys: 1, maxKeys: 5 },
);
const envelopes: fc.Arbitrary<Envelope> = fc.record({
  kind: fc.constantFrom('request', 'reply', 'cancel', 'probe', 'work', 'broadcast', 'event'),
  entry: fc.stringMatching(/^[a-z][a-zA-Z0-9-]{0,20}\.[a-z][a-zA-Z0-9]{0,20}$/),
  id: word,
  from: word,
  stamp: maybe(
    fc.record({ incarnation: fc.stringMatching(/^[0-9a-f]{16}$/), position: fc.nat(Number.MAX_SAFE_INTEGER) }),
  ),
  deadlineMs: whole,
  sentMs: whole,
  dueMs: whole,
  attempt: whole,
  replay: whole,
  hops: whole,
  status: maybe(fc.constantFrom('ok', 'failure', 'error')),
  once: maybe(fc.constantFrom('given', 'derived')),
  code: maybe(word),
  to: maybe(word),
  cause: maybe(word),
  traceparent: maybe(word),
  baggage: maybe(json),
});

function bad(text: string): string {
  const parsed = parseEnvelope(text);
  if (!('bad' in parsed)) throw new Error(`read as an envelope: ${JSON.stringify(parsed)}`);
  return parsed.bad;
}

describe('the envelope', () => {
  it('is a readable line', () => {
    const tenant = { ...request, deadlineMs: 1_763_812_800_000, cause: 'a b=%é', baggage: { tenant: 'acme' } };
    expect(printEnvelope(request)).toBe(line);
    expect(printEnvelope({ ...request, stamp: undefined })).toBe(line.replace(/9f86.*/, '-'));
    expect(printEnvelope(tenant)).toBe(
      `${line} deadlineMs=1763812800000 cause=a%20b%3D%25%C3%A9 baggage={"tenant":"acme"}`,
    );
  });

  it('is parsed as it was printed, and is one line of printable ASCII', () => {
    fc.assert(
      fc.property(envelopes, (envelope) => {
        const printed = printEnvelope(envelope);
        expect(printed).toMatch(/^[ -~]+$/);
        expect(parseEnvelope(printed)).toEqual(envelope);
      }),
      { numRuns: tries(200) },
    );
  });

  it('ignores unknown names', () => {
    expect(parseEnvelope(`${line} part=3 hops=2 later=%ZZ`)).toEqual({ ...request, hops: 2 });
  });

  it('reports a newer version', () => {
    expect(bad(line.replace('1 ', '2 '))).toBe('version 2 is newer than this busbar');
    expect(bad(line.replace('1 ', '0 '))).toBe('version 0 does not exist');
  });

  it.each([
    ['', 'version'],
    ['1', 'version'],
    ['GET / HTTP/1.1', 'version'],
    ['{"id":1}', 'version'],
    ['1 request photos.add id web#a02f', 'six words'],
    ['1  photos.add id web#a02f -', 'kind'],
    ['1 part photos.add id web#a02f -', 'kind'],
    ['1 toString photos.add id web#a02f -', 'kind'],
    ['1 request photos id web#a02f -', 'entry'],
    ['1 request photos.add.x id web#a02f -', 'entry'],
    ['1 request photos.%61dd id web#a02f -', 'entry'],
    [`1 request photos.${'a'.repeat(5000)} id web#a02f -`, 'entry'],
    ['1 request photos.add  web#a02f -', 'id'],
    ['1 request photos.add a%00b web#a02f -', 'id'],
    ['1 request photos.add a%0Ab web#a02f -', 'id'],
    ['1 request photos.add a%E2%80%AEb web#a02f -', 'id'],
    ['1 request photos.add a%FFb web#a02f -', 'id'],
    ['1 request photos.add a%ED%A0%80b web#a02f -', 'id'],
    [`1 request photos.add ${'x'.repeat(201)} web#a02f -`, 'id'],
    ['1 request photos.add id  -', 'sender'],
    ['1 request photos.add id web#a02f 0', 'stamp'],
    ['1 request photos.add id web#a02f ', 'stamp'],
    ['1 request photos.add id web#a02f --', 'stamp'],
    ['1 request photos.add id web#a02f 9F86d081884c7d65:1', 'stamp'],
    ['1 request photos.add id web#a02f 9f86d081884c7d65:', 'stamp'],
    ['1 request photos.add id web#a02f 9f86d081884c7d65:-1', 'stamp'],
    ['1 request photos.add id web#a02f 9f86d081884c7d65:9007199254740993', 'stamp'],
    ['1 request photos.add id web#a02f 9f86d081884c7d65:1e3', 'stamp'],
    [`${line} `, 'name=value'],
    [`${line}  hops=1`, 'name=value'],
    [`${line} hops`, 'name=value'],
    [`${line} hops 1=1`, 'name=value'],
    [`${line} hops=`, 'hops'],
    [`${line} once=maybe`, 'once'],
    [`${line} once=given once=given`, 'once'],
    [`${line} hops=-1`, 'hops'],
    [`${line} hops=NaN`, 'hops'],
    [`${line} hops=0x10`, 'hops'],
    [`${line} deadlineMs=1000000000000000000`, 'deadlineMs'],
    [`${line} hops=1 hops=1`, 'twice'],
    [`${line} cause=a cause=a`, 'twice'],
    [`${line} status=maybe`, 'status'],
    [`${line} status=ok status=ok`, 'status'],
    [`${line} cause=%1B[31m`, 'cause'],
    [`${line} baggage=[1]`, 'baggage'],
    [`${line} baggage=null`, 'baggage'],
    [`${line} baggage={`, 'baggage'],
    [`${line} baggage={"__proto__":1}`, 'baggage'],
    [`${line} baggage={} baggage={}`, 'baggage'],
    [`${line} cause=é`, 'ASCII'],
    [`${line}\n`, 'ASCII'],
    [`${line}\r\nX: 1`, 'ASCII'],
    [`${line}\0`, 'ASCII'],
    [`${line} x=${'y'.repeat(9000)}`, '8192'],
  ])('refuses %j', (text, reason) => {
    expect(bad(text)).toContain(reason);
  });

  it('never throws for any line', () => {
    const mutated = fc
      .tuple(envelopes, fc.nat(), fc.string({ unit: anyCharacter, maxLength: 4 }))
      .map(([e, at, text]) => {
        const printed = printEnvelope(e);
        const cut = at % (printed.length + 1);
        return printed.slice(0, cut) + text + printed.slice(cut + (at % 3));
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.string({ unit: anyCharacter })), (text) => {
        const parsed = parseEnvelope(text);
        // An accepted line is printed as one that parses the same.
        const again = 'bad' in parsed ? parsed : parseEnvelope(printEnvelope(parsed));
        expect(again).toEqual(parsed);
      }),
      { numRuns: tries(1000) },
    );
  });

  it.each<[string, Partial<Envelope>, string]>([
    ['an id with a line break', { id: 'a\nb' }, 'id'],
    ['an empty id', { id: '' }, 'id'],
    ['half a surrogate pair', { id: '\ud800' }, 'id'],
    ['an id of 201 characters', { id: 'x'.repeat(201) }, 'id'],
    ['an entry with a space', { entry: 'photos.add evil' }, 'entry'],
    ['a fractional number', { sentMs: 1.5 }, 'sentMs'],
    ['a negative number', { hops: -1 }, 'hops'],
    ['an endless deadline', { deadlineMs: Infinity }, 'deadlineMs'],
    ['an invalid stamp', { stamp: { incarnation: 'xyz', position: 1 } }, 'stamp'],
    ['baggage that is not JSON', { baggage: { n: 1n } }, 'baggage'],
    ['baggage with a Date, which would arrive as a string', { baggage: { at: new Date(0) } }, 'baggage'],
    ['baggage with a Map, which would arrive empty', { baggage: { m: new Map([[1, 2]]) } }, 'baggage'],
    ['baggage with bytes', { baggage: { b: Uint8Array.of(1) } }, 'baggage'],
    ['baggage with NaN, which would arrive as null', { baggage: { n: NaN } }, 'baggage'],
    ['baggage with infinity', { baggage: { n: [-Infinity] } }, 'baggage'],
    ['baggage with -0, which would arrive as 0', { baggage: { n: -0 } }, 'baggage'],
    ['baggage with a number that JSON writes as digits beyond 2^53', { baggage: { n: 2 ** 53 } }, 'baggage'],
    ['baggage with undefined in a list, which would arrive as null', { baggage: { l: [undefined] } }, 'baggage'],
    ['baggage with a function, which would be left out', { baggage: { f: () => 1 } }, 'baggage'],
    ['baggage with a method toJSON', { baggage: { toJSON: () => 1 } }, 'baggage'],
    ['baggage with an instance of a class', { baggage: { e: new Error('x') } }, 'baggage'],
    ['baggage with an unpaired surrogate', { baggage: { s: '\ud800' } }, 'baggage'],
    ['baggage with a key that is an unpaired surrogate', { baggage: { a: { '\udc00': 1 } } }, 'baggage'],
    ['baggage with the key __proto__ inside', { baggage: { a: [JSON.parse('{"__proto__": 1}')] } }, 'baggage'],
  ])('does not print %s', (_, change, field) => {
    const issues = [expect.objectContaining({ path: [field] })];
    const error = expect.objectContaining({ code: 'Invalid', details: { side: 'input', issues } });
    expect(() => printEnvelope({ ...request, ...change })).toThrow(error);
  });

  it('names the baggage field that JSON would change', () => {
    const baggage = { tenant: { since: [new Date(0)] } };
    expect(() => printEnvelope({ ...request, baggage })).toThrow(
      'the envelope cannot carry baggage.tenant.since.0: an instance of a class is not in JSON',
    );
  });

  it('carries baggage exactly, from any realm', () => {
    const values = {
      t: 'é\u0000"',
      n: [0, -1.5, 2 ** 53 - 1, 1e21, 5e-324],
      b: [true, null],
      o: { a: {} },
      none: undefined,
    };
    const foreign = vm.runInNewContext('(json) => JSON.parse(json)') as (json: string) => Record<string, unknown>;
    const expected = JSON.parse(JSON.stringify(values)) as Record<string, unknown>;
    for (const baggage of [values, foreign(JSON.stringify(values))]) {
      expect(parseEnvelope(printEnvelope({ ...request, baggage }))).toMatchObject({ baggage: expected });
    }
  });

  it.each([
    ['a whole number beyond 2^53', '{"n":9007199254740993}'],
    ['a number that would be rounded', '{"n":0.12345678901234567890}'],
    ['a key twice', '{"a":1,"a":2}'],
    ['the key __proto__ inside', '{"a":{"__proto__":1}}'],
    ['half a surrogate pair', '{"a":"\\ud800"}'],
  ])('rejects baggage of a foreign producer with %s', (_what, json) => {
    expect(parseEnvelope(`${line} baggage=${encodeURIComponent(json)}`)).toMatchObject({
      bad: expect.stringContaining('baggage'),
    });
  });

  it('bounds the baggage to 4,096 characters and the line to 8,192', () => {
    const note = 'x'.repeat(4096 - '{"note":""}'.length);
    expect(printEnvelope({ ...request, baggage: { note } }).length).toBeGreaterThan(4096);
    expect(() => printEnvelope({ ...request, baggage: { note: `${note}x` } })).toThrow(
      expect.objectContaining({ code: 'TooLarge', details: { bytes: 4097, limitBytes: 4096 } }),
    );
    expect(() => printEnvelope({ ...request, baggage: { note: 'é'.repeat(1500) } })).toThrow(
      expect.objectContaining({ code: 'TooLarge' }),
    );
  });

  it('does not write empty baggage', () => {
    expect(printEnvelope({ ...request, baggage: {} })).toBe(line);
  });
});
