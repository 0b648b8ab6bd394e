import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { decodeBody, encodeBody, type Decoded } from '../../src/format/codec';
import { decodeValue } from '../../src/format/json';
import { anyCharacter } from '../characters';
import { cpuMs } from '../elapsed';

// `npm run fuzz -- --runs N [--seed S]` sets these; otherwise each run uses the same bodies.
const runs = Number(process.env.BUSBAR_FUZZ_RUNS ?? 100_000);
const seed = Number(process.env.BUSBAR_FUZZ_SEED ?? 1);
const bytesMax = 64_000_000;
/** A body that takes longer is measured again against JSON.parse. */
const suspectMs = 50;
/**
 * The longest that a body may take, in times of JSON.parse of the yardstick: about five times what the slowest bodies
 * take (0.7 in MessagePack, 2 in JSON, the same ones in each run). A reader whose time grows with the square of the
 * bytes takes hundreds of times.
 */
const mostOf = { messagePack: 4, json: 10 };
/** A megabyte of small objects as the measure, because a busy machine slows down both. */
const yardstick = JSON.stringify(Array.from({ length: 60_000 }, (_, i) => ({ [`k${i}`]: i })));

const scalar = fc.oneof(
  fc.string({ unit: anyCharacter, maxLength: 80 }),
  fc.double(),
  fc.integer(),
  fc.constantFrom<unknown>(
    null,
    true,
    2 ** 40,
    -(2 ** 40),
    new Date(0),
    new Date(1e12 + 1),
    new Date(-1),
    'x'.repeat(300),
  ),
  fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }),
  fc.uint8Array({ maxLength: 40 }),
);
const key = fc.string({ maxLength: 12 }).filter((name) => !['__proto__', 'constructor', 'prototype'].includes(name));
const { body } = fc.letrec((tie) => ({
  body: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie('body'), { maxLength: 20 }),
    fc.dictionary(key, tie('body'), { maxKeys: 20 }),
    fc.array(fc.tuple(key, tie('body')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
    fc.array(key, { maxLength: 4 }).map((members) => new Set(members)),
  ),
}));
const corpus = fc.sample(body, { numRuns: 500, seed }).map((value) => encodeBody(value, bytesMax));
const valid = fc.nat(corpus.length - 1).map((i) => corpus[i]!);

/** Codes followed by a length, extensions that decoders interpret, the edges of every range. */
const codes = Buffer.from(
  '007f808f909fa0bfc0c1c4c6c7c8c9cbcfd3d4d5d6d7d8d9dadbdcdddedfff' + '4d4e53' + '42626569707273' + '7478',
  'hex',
);
type Mutation = (bytes: Uint8Array) => Uint8Array;
const place = fc.nat(1 << 20);
const splice = (bytes: Uint8Array, at: number, gone: number, put: Uint8Array): Uint8Array => {
  const from = at % (bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + gone)]);
};
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.nat(7)).map(([at, bit]) => flip(at, 1 << bit)), // a bit
  place.map(
    (at): Mutation =>
      (bytes) =>
        bytes.subarray(0, at % (bytes.length + 1)),
  ), // a cut
  fc.tuple(place, fc.nat(3), fc.constantFrom(...codes)).map(([at, gone, code]) => put(at, gone, Uint8Array.of(code))),
  fc.tuple(place, fc.constantFrom(0xc6, 0xc9, 0xdb, 0xdd, 0xdf), fc.constantFrom(0, 1, 0x7f, 0xff)).map(
    ([at, code, byte]) => put(at, 1, Uint8Array.of(code, byte, byte, byte, byte)), // a length
  ),
  fc.tuple(place, fc.nat(20), valid).map(([at, gone, other]) => put(at, gone, other)), // another body in the middle
  fc.tuple(place, place, fc.nat(60)).map(([at, from, length]): Mutation => (bytes) => {
    const start = from % (bytes.length + 1);
    return splice(bytes, at, 0, bytes.subarray(start, start + length)); // a duplicated part
  }),
  fc.constantFrom('__proto__', 'constructor', 'prototype', 'polluted').map((word): Mutation => (bytes) => {
    const at = bytes.findIndex((byte) => byte > 0xa0 && byte < 0xc0); // a key, or a byte that looks like one
    return at < 0
      ? bytes
      : splice(bytes, at, 1 + (bytes[at]! & 0x1f), Buffer.from(`\x00${word}`).fill(0xa0 + word.length, 0, 1));
  }),
);
function flip(at: number, mask: number): Mutation {
  return (bytes) => bytes.map((byte, i) => (i === at % bytes.length ? byte ^ mask : byte));
}
function put(at: number, gone: number, bytes: Uint8Array): Mutation {
  return (whole) => splice(whole, at, gone, bytes);
}

const mutated = fc
  .tuple(valid, fc.array(mutation, { minLength: 1, maxLength: 4 }))
  .map(([bytes, mutations]) => mutations.reduce((changed, mutate) => mutate(changed), bytes));
const random = fc.uint8Array({ maxLength: 120 });
const wordy = fc.array(fc.constantFrom(...codes), { maxLength: 60 }).map((bytes) => Uint8Array.from(bytes));
/** Up to a megabyte of one repeated part, optionally announced as an array of that length. */
const huge = fc.tuple(fc.oneof(random, wordy, valid), fc.nat(16), fc.boolean()).map(([part, doublings, announced]) => {
  const times = Math.max(1, Math.min(2 ** doublings, Math.floor(1_000_000 / (part.length || 1))));
  const header = announced ? [0xdd, times >>> 24, (times >>> 16) & 255, (times >>> 8) & 255, times & 255] : [];
  return Buffer.concat([Uint8Array.from(header), ...Array<Uint8Array>(times).fill(part)]);
});
const hostile = fc.oneof(
  { weight: 120, arbitrary: mutated },
  { weight: 40, arbitrary: random },
  { weight: 40, arbitrary: wordy },
  { weight: 1, arbitrary: huge },
);

const jsonRuns = Math.ceil(runs / 4);
const jsonCorpus = fc
  .sample(fc.jsonValue({ maxDepth: 4 }), { numRuns: 300, seed })
  .map((value) => JSON.stringify([value]));
const words = [
  '[',
  ']',
  '{',
  '}',
  ',',
  ':',
  '"',
  '\\',
  '\\u',
  'd800',
  '__proto__',
  '-',
  '.',
  'e',
  '308',
  '400',
  '-324',
].concat(['9007199254740993', '0.12345678901234567', '1e308', '"a":1', 'null', ' ', '\n', '\ufeff']);
const mutatedJson = fc
  .tuple(
    fc.nat(jsonCorpus.length - 1),
    fc.array(fc.tuple(place, fc.nat(3), fc.constantFrom(...words)), { maxLength: 3 }),
  )
  .map(([n, changes]) =>
    changes.reduce((text, [at, gone, word]) => {
      const from = at % (text.length + 1);
      return text.slice(0, from) + word + text.slice(from + gone);
    }, jsonCorpus[n]!),
  );
/** A list of up to a megabyte of one repeated item. */
const hugeJson = fc
  .tuple(fc.constantFrom(...words, '[1]', '{"a":[]}', '"\\u0041"', '1.2345678901234567e300'), fc.nat(16))
  .map(([word, doublings]) => {
    const times = Math.max(1, Math.min(2 ** doublings, Math.floor(1_000_000 / (word.length + 1))));
    return `[${Array<string>(times).fill(word).join(',')}]`;
  });
const hostileJson = fc.oneof({ weight: 120, arbitrary: mutatedJson }, { weight: 1, arbitrary: hugeJson });

const builtIns = [Object, Array, Map, Set, Date, Uint8Array, Function, String, Number, BigInt].flatMap((base) => [
  base,
  base.prototype as object,
]);
const shapeOf = (): string => builtIns.map((thing) => Reflect.ownKeys(thing).length).join();

type Read = (bytes: Uint8Array) => Decoded;
/** Throws for a body that takes longer than JSON.parse takes for `most` yardsticks. */
function timed(read: Read, bytes: Uint8Array, most: number): { readonly ms: number; readonly decoded: Decoded } {
  const start = performance.now();
  const decoded = read(bytes);
  const ms = performance.now() - start;
  const ratio = ms > suspectMs ? besideJson(read, bytes, most) : 0;
  if (ratio > most) throw new Error(`${ms} ms for ${bytes.length} bytes, ${ratio} times what JSON.parse takes`);
  return { ms, decoded };
}

/** Returns the lowest of ten ratios of CPU times: a slow body is slow every time. */
function besideJson(read: Read, bytes: Uint8Array, most: number): number {
  let least = Infinity;
  for (let n = 0; n < 10 && least > most; n++)
    least = Math.min(least, cpuMs(() => read(bytes)) / cpuMs(() => JSON.parse(yardstick)));
  return least;
}

function describeFailure({
  errorInstance,
  counterexample,
  seed,
  numRuns,
  counterexamplePath,
}: fc.RunDetails<[Uint8Array]>): string {
  const [bytes = new Uint8Array(0)] = counterexample ?? [];
  const shown = Buffer.from(bytes.subarray(0, 400)).toString('hex');
  return `${String(errorInstance)} at run ${numRuns} of seed ${seed} (path ${counterexamplePath}): ${bytes.length} bytes, ${shown}`;
}

describe('hostile bodies', () => {
  it(
    `neither crash, hang nor pollute, and accepted ones are bodies: ${runs} runs`,
    () => {
      const before = shapeOf();
      let accepted = 0;
      let slowestMs = 0;
      const found = fc.check(
        fc.property(hostile, (bytes) => {
          const { ms, decoded } = timed(decodeBody, bytes, mostOf.messagePack);
          slowestMs = Math.max(slowestMs, ms);
          if (shapeOf() !== before) throw new Error('a built-in was changed');
          if (decoded.ok) {
            accepted++;
            const again = decodeBody(encodeBody(decoded.value, bytesMax));
            if (!again.ok || !isDeepStrictEqual(again.value, decoded.value))
              throw new Error('it was decoded as another value');
          } else if (decoded.reason.startsWith('not readable')) {
            throw new Error(`an error that is not of the reader: ${decoded.reason}`);
          }
        }),
        { numRuns: runs, seed, endOnFailure: runs > 100_000 },
      );
      if (found.failed) throw new Error(describeFailure(found));
      console.log(`${runs} bodies, ${accepted} accepted, slowest ${slowestMs.toFixed(1)} ms, seed ${seed}`);
      expect(accepted).toBeGreaterThan(runs / 50); // otherwise only the first byte is tested
      expect(accepted).toBeLessThan(runs);
    },
    60_000 + runs * 2,
  );

  it(
    `in JSON neither hang nor pollute, and are read like JSON.parse: ${jsonRuns} runs`,
    () => {
      const before = shapeOf();
      let accepted = 0;
      let slowestMs = 0;
      const found = fc.check(
        fc.property(hostileJson, (text) => {
          const { ms, decoded } = timed(decodeValue, Buffer.from(text), mostOf.json);
          slowestMs = Math.max(slowestMs, ms);
          if (shapeOf() !== before) throw new Error('a built-in was changed');
          if (!decoded.ok || !/^[[{"]./s.test(text)) return;
          accepted++;
          if (!isDeepStrictEqual(decoded.value, JSON.parse(text))) throw new Error('JSON.parse reads another value');
          const again = decodeBody(encodeBody(decoded.value, bytesMax));
          if (!again.ok || !isDeepStrictEqual(again.value, decoded.value))
            throw new Error('it was decoded as another value');
        }),
        { numRuns: jsonRuns, seed },
      );
      if (found.failed) throw new Error(String(found.errorInstance) + ` at run ${found.numRuns} of seed ${seed}`);
      console.log(`${jsonRuns} of JSON, ${accepted} accepted, slowest ${slowestMs.toFixed(1)} ms, seed ${seed}`);
      expect(accepted).toBeGreaterThan(jsonRuns / 50);
      expect(accepted).toBeLessThan(jsonRuns);
    },
    60_000 + jsonRuns * 2,
  );
});
