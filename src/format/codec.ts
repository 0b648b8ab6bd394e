/** Bodies as bytes: MessagePack by msgpackr, and nothing passes on either side that would not come back the same. */
import { addExtension, Packr, RESET_BUFFER_MODE } from 'msgpackr/index-no-eval';
import { BadBytes, extensions, scan } from './scan';
import { BigintForm, MapForm, MinusZero, SetForm, snapshot, tooLarge, type Side } from './snapshot';

export type Decoded = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly reason: string };

/**
 * The bytes of `value`, which errors call `side` of `entry`, in memory of their own. What passes unchanged, nested as
 * you like: null, booleans, numbers (NaN, infinities and -0 too), strings, bigints to 100 digits, Date, Uint8Array (a
 * Buffer comes back as one), Map, Set, arrays and plain objects. `undefined` as the whole body is no bytes at all; a
 * property that is undefined counts as absent.
 *
 * Throws Invalid, with the path of the field, for anything else: undefined in arrays, Maps and Sets, functions,
 * symbols, instances of classes, cycles, invalid Dates, half surrogate pairs, the keys __proto__, constructor and
 * prototype, what is nested deeper than 32 or has more than 100,000 items (elements, keys and values; a Map or Set
 * counts for eight more, a Date for one more), and whatever throws when read. Throws TooLarge beyond `bytesMax`. Symbol
 * keys and what is not enumerable are not looked at.
 */
export function encodeBody(value: unknown, bytesMax: number, side: Side = 'input', entry?: string): Uint8Array {
  if (value === undefined) return nothing;
  const what = entry === undefined ? side : `${side} of ${entry}`;
  const body = pack(snapshot(value, bytesMax, side, what, pack));
  if (body.length > bytesMax) throw tooLarge(what, body.length, bytesMax);
  return body;
}

function pack(copy: unknown): Uint8Array {
  const packed = packr.pack(copy, RESET_BUFFER_MODE);
  const bytes = Buffer.allocUnsafe(packed.length); // the encoder's memory is written over by the next call
  bytes.set(packed);
  return bytes;
}

/** The value of a body, sharing no memory with it, or why the bytes are none. Never throws. */
export function decodeBody(bytes: Uint8Array): Decoded {
  const { length } = bytes;
  if (length === 0) return { ok: true, value: undefined };
  try {
    const source = length <= desk.length ? desk : new Uint8Array(length);
    source.set(bytes); // the decoder leaves marks on what it reads
    const collections = scan(source, length);
    const value = packr.unpack(source, length);
    return { ok: true, value: collections ? new Opener(source).open(value) : value };
  } catch (error) {
    return { ok: false, reason: error instanceof BadBytes ? error.message : `not readable: ${String(error)}` };
  }
}

/** Puts Maps and Sets where their forms are, no deeper than the scan allowed. */
class Opener {
  constructor(private readonly source: Uint8Array) {}

  open(value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return this.openAll(value);
    if (value instanceof MapForm) return openMap(this.inside(value));
    if (value instanceof SetForm) return openSet(this.inside(value));
    if (Object.getPrototypeOf(value) !== Object.prototype) return value;
    // A plain object that the decoder has just made.
    const fields = value as Record<string, unknown>;
    for (const key of Object.keys(fields)) fields[key] = this.open(fields[key]);
    return fields;
  }

  private openAll(values: unknown[]): unknown[] {
    for (let i = 0; i < values.length; i++) values[i] = this.open(values[i]);
    return values;
  }

  private inside({ payload }: MapForm | SetForm): unknown[] {
    const start = payload.byteOffset - this.source.byteOffset;
    // The scan has seen that the payload is an array.
    return this.openAll(packr.unpack(this.source, { start, end: start + payload.length }) as unknown[]);
  }
}

function openMap(pairs: readonly unknown[]): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>();
  for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i], pairs[i + 1]);
  if (map.size * 2 < pairs.length) throw new BadBytes('the same key twice in a Map');
  return map;
}

function openSet(members: readonly unknown[]): Set<unknown> {
  const set = new Set(members);
  if (set.size < members.length) throw new BadBytes('the same member twice in a Set');
  return set;
}

const minusZero = Uint8Array.of(0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0); // a float64
const nothing = new Uint8Array(0);
const desk = new Uint8Array(16_384);

const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  structuredClone: false,
  moreTypes: false,
  copyBuffers: true,
  int64AsType: 'number', // the scan lets through only what a number holds
});

addExtension({
  Class: MinusZero,
  type: extensions.bigint, // it must have one; none is written, and BigintForm below takes its reading
  pack(_form: MinusZero, take) {
    const { target, position } = take(minusZero.length);
    target.set(minusZero, position);
    return undefined;
  },
});
// Maps and Sets are opened after the outer value is read: a decoder inside the decoder would copy all its bytes.
addExtension({
  Class: MapForm,
  type: extensions.map,
  pack: (form: MapForm) => form.payload,
  unpack: (payload) => new MapForm(payload),
});
addExtension({
  Class: SetForm,
  type: extensions.set,
  pack: (form: SetForm) => form.payload,
  unpack: (payload) => new SetForm(payload),
});
addExtension({
  Class: BigintForm,
  type: extensions.bigint,
  pack: (form: BigintForm) => form.payload,
  unpack: (payload) => BigInt(Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1')),
});
