/** Frames are decoded unchanged wherever the bytes are split, and hostile ones are rejected. */
import fc from 'fast-check';
import { limits } from '../../../src/base/limits';
import {
  bodyBytesMax,
  FrameReader,
  frameKinds,
  frameRoom,
  type FrameKind,
  putFrame,
} from '../../../src/embedded/sockets/frames';
import { heavy, tries } from '../../heavy';

interface Frame {
  readonly kind: FrameKind;
  readonly line: string;
  readonly body: Buffer;
}
function bytesOf(...frames: readonly Frame[]): Buffer {
  const into = Buffer.alloc(frames.reduce((room, { line, body }) => room + frameRoom(line, body), 0));
  return into.subarray(
    0,
    frames.reduce((at, { kind, line, body }) => putFrame(into, at, kind, line, body), 0),
  );
}
/** Reads chunks one after the other, and copies the bodies, which are views. */
function read(chunks: readonly Buffer[]): { frames: Frame[]; fault: string | undefined } {
  const frames: Frame[] = [];
  const reader = new FrameReader((kind, line, body) => {
    frames.push({ kind, line, body: Buffer.from(body) });
    return line === 'refuse me' ? 'refused' : undefined;
  });
  let fault: string | undefined;
  for (const chunk of chunks) {
    fault = reader.push(chunk);
    if (fault !== undefined) break;
  }
  return { frames, fault };
}
function cut(bytes: Buffer, ...places: readonly number[]): Buffer[] {
  const ends = [...new Set([0, ...places, bytes.length])].sort((a, b) => a - b);
  return ends.slice(1).map((end, at) => bytes.subarray(ends[at], end));
}

const three: readonly Frame[] = [
  { kind: frameKinds.hello, line: 'busbar/1 ns somebody', body: Buffer.alloc(0) },
  { kind: frameKinds.packet, line: 'größer 鍵 🙂', body: Buffer.from([0, 1, 2, 253, 254, 255]) },
  { kind: frameKinds.ring, line: '', body: Buffer.alloc(0) },
];

heavy('frames are decoded unchanged when the bytes are split at any two places', () => {
  const bytes = bytesOf(...three);
  const wrong: number[][] = [];
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second++) {
      const { frames, fault } = read(cut(bytes, first, second));
      if (fault !== undefined || !bytesOf(...frames).equals(bytes)) wrong.push([first, second]);
    }
  }
  expect(wrong).toEqual([]);
});
test('frames are decoded unchanged byte by byte', () => {
  const bytes = bytesOf(...three, ...three);
  expect(read([...bytes].map((byte) => Buffer.from([byte])))).toEqual({
    frames: [...three, ...three],
    fault: undefined,
  });
});
test('any frames are decoded unchanged when split anywhere', () => {
  const frame = fc.record({
    kind: fc.constantFrom(...Object.values(frameKinds)),
    line: fc.string({ unit: 'grapheme', maxLength: 50 }),
    body: fc.uint8Array({ maxLength: 6_000 }).map((body) => Buffer.from(body)),
  });
  const places = fc.array(fc.nat(100_000), { maxLength: 20 });
  const same = fc.property(fc.array(frame, { maxLength: 8 }), places, (frames, at) => {
    const bytes = bytesOf(...frames);
    const places = at.map((place) => place % (bytes.length + 1));
    const out = read(cut(bytes, ...places));
    return out.fault === undefined && bytesOf(...out.frames).equals(bytes);
  });
  expect(() => fc.assert(same, { numRuns: tries(100), seed: 7 })).not.toThrow();
});
test('a body of the largest size is decoded from chunks of a socket', () => {
  const frame = { kind: frameKinds.packet, line: 'big', body: Buffer.alloc(bodyBytesMax, 5) };
  const bytes = bytesOf(frame, ...three);
  const places = Array.from({ length: 20 }, (_, at) => at * 65_536);
  const { frames, fault } = read(cut(bytes, ...places));
  expect(fault).toBeUndefined();
  expect(frames.map(({ line, body }) => [line, body.length])).toEqual([
    ['big', bodyBytesMax],
    ...three.map(({ line, body }) => [line, body.length]),
  ]);
  expect(frames[0]?.body.every((byte) => byte === 5)).toBe(true);
});

describe('rejects hostile bytes', () => {
  const length = (value: number): Buffer => {
    const bytes = bytesOf({ kind: frameKinds.packet, line: 'abc', body: Buffer.from('body') });
    bytes.writeUInt32LE(value, 0);
    return bytes;
  };
  test.each([0, 1, 2, 1_200_000, 0x7fffffff, 0xffffffff])('a length of %p', (value) => {
    const bytes = length(value);
    for (let at = 0; at <= bytes.length; at++) {
      expect(read(cut(bytes, at))).toEqual({ frames: [], fault: `a frame of ${value} bytes` });
    }
  });
  test('a line that is longer than its frame', () => {
    const bytes = bytesOf({ kind: frameKinds.packet, line: 'abc', body: Buffer.alloc(0) });
    bytes.writeUInt16LE(4, 5);
    expect(read([bytes]).fault).toBe('a line of 4 bytes');
  });
  test('a line above the limit', () => {
    const line = 'x'.repeat(limits.envelopeBytesMax + 1);
    expect(read([bytesOf({ kind: frameKinds.packet, line, body: Buffer.alloc(0) })]).fault).toBe(
      'a line of 8193 bytes',
    );
  });
  test.each([0, 5, 255])('a frame of kind %p', (kind) => {
    const bytes = bytesOf({ kind: frameKinds.packet, line: 'abc', body: Buffer.alloc(0) });
    bytes[4] = kind;
    expect(read([bytes]).fault).toBe(`a frame of kind ${kind}`);
  });
  test('frames after a rejected one are not decoded', () => {
    const refused = { kind: frameKinds.packet, line: 'refuse me', body: Buffer.alloc(0) };
    expect(read([bytesOf(refused, ...three)])).toEqual({ frames: [refused], fault: 'refused' });
  });
  test('random bytes never throw, and never give bodies larger than the input', () => {
    const safe = fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
      const { frames } = read(chunks.map((chunk) => Buffer.from(chunk)));
      const given = frames.reduce((sum, { body }) => sum + body.length, 0);
      expect(given).toBeLessThanOrEqual(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    });
    fc.assert(safe, { numRuns: tries(500), seed: 7 });
  });
  heavy('a frame that claims a megabyte allocates only memory for the received bytes', () => {
    const bytes = length(1_000_000).subarray(0, 10);
    const readers = Array.from({ length: 1_000 }, () => new FrameReader(() => undefined));
    const before = process.memoryUsage().arrayBuffers;
    for (const reader of readers) expect(reader.push(bytes)).toBeUndefined();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 1024 * 1024);
    expect(readers).toHaveLength(1_000);
  });
});
