/** Packets of a bus to itself: delivered in the next turn, in order, within the bounds that a socket has. */
import { overloaded, queueBytesMax, queueFramesMax } from './connection';

interface Waiting {
  readonly line: string;
  readonly body: Uint8Array;
}

export class Loopback {
  private waiting: Waiting[] = [];
  private bytes = 0;

  constructor(private readonly take: (line: string, body: Uint8Array) => void) {}

  /** Copies the body, since the sender may write over it. Throws Overloaded. */
  put(line: string, body: Uint8Array): void {
    const { length } = this.waiting;
    if (length >= queueFramesMax) throw overloaded('this instance itself', length, queueFramesMax, 'packets');
    const bytes = this.bytes + 2 * line.length + body.length;
    if (bytes > queueBytesMax) throw overloaded('this instance itself', bytes, queueBytesMax, 'bytes');
    if (length === 0) setImmediate(this.deliver);
    this.bytes = bytes;
    this.waiting.push({ line, body: Buffer.from(body) });
  }

  private readonly deliver = (): void => {
    const now = this.waiting;
    this.waiting = [];
    this.bytes = 0;
    for (const { line, body } of now) this.take(line, body);
  };
}
