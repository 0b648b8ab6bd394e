/** Connects to one other process. Outgoing frames wait in a few large buffers, whose total size is bounded. */
import type { Socket } from 'node:net';
import { Capacity } from '../../base/bounded';
import type { FrameKind, TakeFrame } from './frames';
import { FrameReader, frameRoom, putFrame } from './frames';

/** Frames that can wait for one receiver. A frame beyond this is rejected as Overloaded. */
export const waitingMax = { count: 100_000, bytes: 64 * 1024 * 1024 };
/**
 * Frames that can wait for all receivers of a bus. A connection that holds less than `freeBytes` has room even when
 * this is used up, so that packets to receivers that read are not rejected.
 */
export const allWaitingMax = { count: 1_000_000, bytes: 512 * 1024 * 1024 };
const freeBytes = 1024 * 1024;
const firstBytes = 8 * 1024;
const keptBytesMax = 64 * 1024;
const segmentBytesMax = 256 * 1024;
export const retryAfterMs = 20;

/**
 * Consecutive frames that leave in one write. `costBytes` is the memory of their buffer, which {@link Capacity} counts.
 */
interface Segment {
  readonly bytes: Buffer;
  readonly costBytes: number;
  readonly frames: number;
}

const empty = Buffer.alloc(0);

/** Owner of a connection: receives its frames, and its end. */
export interface ConnectionEnd {
  /** Handles a frame. Returns the reason if the frame is refused; the connection is then closed. */
  take(...frame: Parameters<TakeFrame>): string | undefined;
  /**
   * Called once, when no more frames can arrive. `fault` names the protocol error of the other side, if it made one.
   */
  ended(fault: string | undefined, cause: NodeJS.ErrnoException | undefined): void;
}

export class Connection {
  /** Address of the other end; undefined until its hello arrived. */
  peer: string | undefined;
  private segment = empty;
  private used = 0;
  private frames = 0;
  private readonly waiting: Segment[] = [];
  private flying: Segment | undefined;
  private ending = false;
  /** Counts the frames that wait or are being written. */
  readonly capacity: Capacity;
  /** Frames that the kernel has accepted since the connection was made. */
  framesTaken = 0;
  /** Called when the kernel has accepted frames. */
  onTaken: () => void = () => undefined;
  /** Rings that have not left yet. A second ring with the same line would add no information. */
  private readonly rings = new Set<string>();

  private fault: string | undefined;

  constructor(
    private readonly socket: Socket,
    end: ConnectionEnd,
    whole?: Capacity,
  ) {
    this.capacity = new Capacity(waitingMax, whole, freeBytes);
    const reader = new FrameReader((kind, line, body) => end.take(kind, line, body));
    let cause: NodeJS.ErrnoException | undefined;
    socket.on('data', (chunk) => {
      if (socket.destroyed) return;
      const fault = reader.push(chunk);
      if (fault !== undefined) this.destroy(fault);
    });
    socket.on('error', (error) => (cause = error));
    socket.on('close', () => {
      this.capacity.remove(this.capacity.bytes, this.capacity.count); // waiting frames are lost
      end.ended(this.fault, cause);
    });
  }

  /** Queues a frame; {@link pump} sends it. Throws Overloaded when too many frames wait already. */
  put(kind: FrameKind, line: string, body: Uint8Array): void {
    const room = frameRoom(line, body);
    const { capacity } = this;
    if (!capacity.fits(room))
      throw capacity.overloaded(`packets to ${this.peer ?? 'a connection'}`, 'packets', retryAfterMs, room);
    if (this.used + room > this.segment.length) this.makeRoom(room);
    const end = putFrame(this.segment, this.used, kind, line, body);
    capacity.add(end - this.used);
    this.used = end;
    this.frames++;
  }

  /** Queues a doorbell, unless the same one still waits. */
  ring(kind: FrameKind, line: string): void {
    if (this.rings.has(line)) return;
    this.put(kind, line, empty);
    this.rings.add(line);
  }

  /** Writes as much as the kernel accepts; the rest follows as its buffer drains. */
  pump(): void {
    while (this.flying === undefined && !this.socket.destroyed) {
      const next = this.waiting.shift() ?? this.seal();
      if (next === undefined) {
        if (this.ending) this.socket.end();
        return;
      }
      this.rings.clear();
      this.socket.write(next.bytes, this.written);
      if (this.socket.writableLength > 0) this.fly(next);
      else this.land(next);
    }
  }
  /** Keeps a segment that the kernel has only partly accepted. Its buffer must not be reused until the write ends. */
  private fly(segment: Segment): void {
    this.flying = segment;
    if (segment.bytes.buffer === this.segment.buffer) this.segment = empty;
  }
  /**
   * Releases a segment that the kernel has accepted in full. Its buffer is reused, or dropped if a burst made it large.
   */
  private land(segment: Segment): void {
    this.capacity.remove(segment.costBytes, segment.frames);
    this.framesTaken += segment.frames;
    if (this.segment.length > keptBytesMax && segment.bytes.length < firstBytes && this.used === 0)
      this.segment = empty;
    this.onTaken();
  }
  private readonly written = (error?: Error | null): void => {
    // Node also calls this later for data that the kernel accepted immediately, and while the socket is being
    // destroyed.
    if (this.flying === undefined || error || this.socket.writableLength > 0) return;
    const flown = this.flying;
    this.flying = undefined;
    this.land(flown);
    this.pump();
  };

  /** Bytes that the kernel has not accepted yet. */
  get queuedBytes(): number {
    return this.capacity.bytes;
  }

  /** Frames that were queued since the connection was made. */
  get framesPut(): number {
    return this.framesTaken + this.capacity.count;
  }

  /**
   * Sends what is queued, then closes this side. The connection ends when the other side has read it and closed too, or
   * by {@link destroy}.
   */
  end(): void {
    this.ending = true;
    this.pump();
  }
  /** Closes the connection immediately. `fault` names the protocol error of the other side. */
  destroy(fault?: string): void {
    this.fault ??= fault;
    this.socket.destroy();
  }

  private makeRoom(room: number): void {
    const sealed = this.seal();
    if (sealed !== undefined) this.waiting.push(sealed);
    const bytes = Math.max(room, Math.min(segmentBytesMax, Math.max(firstBytes, 2 * this.segment.length)));
    if (bytes > this.segment.length || sealed !== undefined) this.segment = Buffer.allocUnsafeSlow(bytes);
  }

  /** Closes the open segment. Its buffer stays in use until {@link land}. */
  private seal(): Segment | undefined {
    if (this.used === 0) return undefined;
    const sealed = { bytes: this.segment.subarray(0, this.used), costBytes: this.segment.length, frames: this.frames };
    this.capacity.add(sealed.costBytes - this.used, 0);
    this.used = 0;
    this.frames = 0;
    return sealed;
  }
}
