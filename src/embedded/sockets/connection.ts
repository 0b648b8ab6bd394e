/** One socket to one other process: frames in, and frames out that wait in few large buffers within a bound. */
import type { Socket } from 'node:net';
import { Capacity } from '../../base/bounded';
import type { FrameKind, TakeFrame } from './frames';
import { FrameReader, frameRoom, putFrame } from './frames';

/** What can wait for one receiver; beyond it Overloaded. */
export const waitingMax = { count: 100_000, bytes: 64 * 1024 * 1024 };
/** What can wait for all receivers of a bus, but a receiver that reads never has more than this waiting. */
export const allWaitingMax = { count: 1_000_000, bytes: 512 * 1024 * 1024 };
const freeBytes = 1024 * 1024;
const firstBytes = 8 * 1024;
const keptBytesMax = 64 * 1024;
const segmentBytesMax = 256 * 1024;
export const retryAfterMs = 20;

/** Frames in a row, that go out in one write. `costBytes` is the memory behind them, which {@link Capacity} counts. */
interface Segment {
  readonly bytes: Buffer;
  readonly costBytes: number;
  readonly frames: number;
}

const empty = Buffer.alloc(0);

/** Who holds a connection. */
export interface ConnectionEnd {
  /** Gives the reason when the frame is refused; the connection is closed then. */
  take(...frame: Parameters<TakeFrame>): string | undefined;
  /** Called once, when nothing will come any more; `fault` says what the other side did wrong, if it did. */
  ended(fault: string | undefined, cause: NodeJS.ErrnoException | undefined): void;
}

export class Connection {
  /** Who is at the other end; undefined until a hello said so. */
  peer: string | undefined;
  private segment = empty;
  private used = 0;
  private frames = 0;
  private readonly waiting: Segment[] = [];
  private flying: Segment | undefined;
  private ending = false;
  /** What waits or flies. */
  readonly capacity: Capacity;
  /** Frames that the kernel has taken, since the connection was made. */
  framesTaken = 0;
  /** Called when the kernel has taken frames. */
  onTaken: () => void = () => undefined;
  /** Rings that have not left: one more of the same would tell nothing new. */
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
      this.capacity.remove(this.capacity.bytes, this.capacity.count); // what waits is lost
      end.ended(this.fault, cause);
    });
  }

  /** Queues a frame; {@link pump} sends it. Throws Overloaded when too much waits already. */
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

  /** Queues a doorbell unless the same one still waits. */
  ring(kind: FrameKind, line: string): void {
    if (this.rings.has(line)) return;
    this.put(kind, line, empty);
    this.rings.add(line);
  }

  /** Hands the kernel what it takes; the rest follows as it drains. */
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
  /** The kernel has not taken all of it: nothing may be written over it. */
  private fly(segment: Segment): void {
    this.flying = segment;
    if (segment.bytes.buffer === this.segment.buffer) this.segment = empty;
  }
  /** The kernel has taken all of it: its buffer is free again, and let go if a burst made it large. */
  private land(segment: Segment): void {
    this.capacity.remove(segment.costBytes, segment.frames);
    this.framesTaken += segment.frames;
    if (this.segment.length > keptBytesMax && segment.bytes.length < firstBytes && this.used === 0)
      this.segment = empty;
    this.onTaken();
  }
  private readonly written = (error?: Error | null): void => {
    // Also called, later, for what the kernel took at once; and while the socket is on its way down.
    if (this.flying === undefined || error || this.socket.writableLength > 0) return;
    const flown = this.flying;
    this.flying = undefined;
    this.land(flown);
    this.pump();
  };

  /** Bytes that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.capacity.bytes;
  }

  /** Frames that were put in, since the connection was made. */
  get framesPut(): number {
    return this.framesTaken + this.capacity.count;
  }

  /** Sends what is queued, then says so; ends when the other side has read it and closed too, or by {@link destroy}. */
  end(): void {
    this.ending = true;
    this.pump();
  }
  /** Closes now; `fault` is what the other side did wrong. */
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

  /** Closes the open segment; its buffer stays in use until {@link land}. */
  private seal(): Segment | undefined {
    if (this.used === 0) return undefined;
    const sealed = { bytes: this.segment.subarray(0, this.used), costBytes: this.segment.length, frames: this.frames };
    this.capacity.add(sealed.costBytes - this.used, 0);
    this.used = 0;
    this.frames = 0;
    return sealed;
  }
}
