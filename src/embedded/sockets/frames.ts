/**
 * Cuts the bytes between two processes of one machine into frames. Malformed frames are refused before they take
 * memory.
 */
import { BusError } from '../../base/errors';
import { limits } from '../../base/limits';

/** Kinds of frames: the hello of a connection, a packet, a doorbell, and the acknowledgement of a doorbell. */
export const frameKinds = { hello: 1, packet: 2, ring: 3, acknowledged: 4 } as const;
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds];

// [u32 bytes that follow][u8 kind][u16 bytes of the line][line, utf8][body], numbers little-endian.
const headBytes = 7;
const lengthBytes = 4;
const restBytes = headBytes - lengthBytes;
/** Largest body: the largest message, and 64 KB for the fields that a parked one adds. */
export const bodyBytesMax = limits.messageBytesMax + 64 * 1024;
/** Largest value of the length field. A larger one is refused before its bytes are read. */
const frameBytesMax = restBytes + limits.envelopeBytesMax + bodyBytesMax;
const heldBytesKept = 64 * 1024;

/** Returns the most bytes that {@link putFrame} needs. A character of a line takes up to three. */
export function frameRoom(line: string, body: Uint8Array): number {
  return headBytes + 3 * line.length + body.length;
}

/** Writes one frame at `at`, where {@link frameRoom} bytes must be free. Returns the position after it. */
export function putFrame(into: Buffer, at: number, kind: FrameKind, line: string, body: Uint8Array): number {
  const lineBytes = into.write(line, at + headBytes, 'utf8');
  const end = at + headBytes + lineBytes + body.length;
  into.writeUInt32LE(end - at - lengthBytes, at);
  into[at + 4] = kind;
  into.writeUInt16LE(lineBytes, at + 5);
  if (body.length > 0) into.set(body, at + headBytes + lineBytes);
  return end;
}

/** Throws TooLarge for a line or a body that no frame can hold. */
export function checkSize(line: string, body: Uint8Array): void {
  const lineBytes = line.length * 3 > limits.envelopeBytesMax ? Buffer.byteLength(line) : 0;
  if (lineBytes > limits.envelopeBytesMax) throw tooLarge('an envelope', lineBytes, limits.envelopeBytesMax);
  if (body.length > bodyBytesMax) throw tooLarge('a body', body.length, bodyBytesMax);
}
function tooLarge(what: string, bytes: number, limitBytes: number): BusError {
  return new BusError('TooLarge', `${what} has ${bytes} bytes, the limit is ${limitBytes}`, { bytes, limitBytes });
}

/**
 * Handler of a frame. `body` is a view that is valid until this returns. Returns the reason if the frame is refused.
 */
export type TakeFrame = (kind: FrameKind, line: string, body: Uint8Array) => string | undefined;

/** Reader that cuts the chunks of a socket into frames. A frame that is complete within a chunk is not copied. */
export class FrameReader {
  private held: Buffer = Buffer.alloc(0);
  private heldBytes = 0;

  constructor(private readonly take: TakeFrame) {}

  /** Returns the reason if the bytes are not frames, or one was refused. The caller must push nothing after that. */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      const step = this.heldBytes > 0 ? this.goOn(chunk, at) : this.start(chunk, at);
      if (typeof step === 'string') return step;
      at = step;
    }
    return undefined;
  }

  /**
   * Reads the frame that begins at `at`: handles it if it is complete, and otherwise holds the part that has arrived.
   */
  private start(chunk: Buffer, at: number): number | string {
    const there = chunk.length - at;
    if (there < lengthBytes) return this.hold(chunk, at, chunk.length, lengthBytes);
    const length = chunk.readUInt32LE(at);
    if (length < restBytes || length > frameBytesMax) return `a frame of ${length} bytes`;
    const end = at + lengthBytes + length;
    if (end > chunk.length) return this.hold(chunk, at, chunk.length, lengthBytes + length);
    return this.give(chunk, at, end) ?? end;
  }

  /** Adds the bytes in `chunk` to the frame that is held, and handles the frame when it is complete. */
  private goOn(chunk: Buffer, at: number): number | string {
    const wanted = this.heldBytes < lengthBytes ? lengthBytes : lengthBytes + this.held.readUInt32LE(0);
    const next = this.hold(chunk, at, Math.min(chunk.length, at + wanted - this.heldBytes), wanted);
    if (this.heldBytes < wanted) return next;
    const length = this.held.readUInt32LE(0);
    if (length < restBytes || length > frameBytesMax) return `a frame of ${length} bytes`;
    if (this.heldBytes < lengthBytes + length) return next;
    const frame = this.held;
    const frameBytes = this.heldBytes;
    this.heldBytes = 0;
    if (frame.length > heldBytesKept) this.held = Buffer.alloc(0);
    return this.give(frame, 0, frameBytes) ?? next;
  }

  /**
   * Keeps chunk[from, to). Memory grows with the bytes that arrived, so a false length in a frame cannot exhaust it.
   */
  private hold(chunk: Buffer, from: number, to: number, wanted: number): number {
    const needed = this.heldBytes + to - from;
    if (needed > this.held.length) {
      const roomy = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(wanted, Math.max(4096, 2 * needed))));
      this.held.copy(roomy, 0, 0, this.heldBytes);
      this.held = roomy;
    }
    chunk.copy(this.held, this.heldBytes, from, to);
    this.heldBytes = needed;
    return to;
  }

  private give(bytes: Buffer, at: number, end: number): string | undefined {
    const lineBytes = bytes.readUInt16LE(at + 5);
    const lineEnd = at + headBytes + lineBytes;
    if (lineEnd > end || lineBytes > limits.envelopeBytesMax) return `a line of ${lineBytes} bytes`;
    const kind = frameKindOf(bytes[at + 4]);
    if (kind === undefined) return `a frame of kind ${bytes[at + 4]}`;
    return this.take(kind, bytes.toString('utf8', at + headBytes, lineEnd), bytes.subarray(lineEnd, end));
  }
}

const kinds: readonly (FrameKind | undefined)[] = [undefined, ...Object.values(frameKinds)];
function frameKindOf(byte: number | undefined): FrameKind | undefined {
  return byte === undefined ? undefined : kinds[byte];
}
