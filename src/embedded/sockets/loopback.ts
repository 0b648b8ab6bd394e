/** Delivers the packets of a bus to itself: in the next turn, in order, within the limits of a socket. */
import { BoundedQueue } from '../../base/bounded';
import { deferred, type Deferred } from '../../base/lifecycle';
import { retryAfterMs, waitingMax } from './connection';

interface Waiting {
  readonly line: string;
  readonly body: Uint8Array;
}

export class Loopback {
  private waiting = new BoundedQueue<Waiting>(waitingMax);
  private turn: Deferred<void> | undefined;

  constructor(private readonly take: (line: string, body: Uint8Array) => void) {}

  /** Copies the body, since the sender can overwrite it. Resolves when it was delivered. Throws Overloaded. */
  put(line: string, body: Uint8Array): Promise<void> {
    this.mustHaveRoom(line, body);
    this.waiting.push({ line, body: Buffer.from(body) }, sizeOf(line, body));
    if (this.turn === undefined) setImmediate(this.deliver);
    this.turn ??= deferred<void>();
    return this.turn.promise;
  }
  mustHaveRoom(line: string, body: Uint8Array): void {
    const { capacity } = this.waiting;
    const bytes = sizeOf(line, body);
    if (!capacity.fits(bytes))
      throw capacity.overloaded('packets to this instance itself', 'packets', retryAfterMs, bytes);
  }

  private readonly deliver = (): void => {
    const { turn, waiting } = this;
    this.turn = undefined;
    this.waiting = new BoundedQueue(waitingMax);
    for (let one = waiting.shift(); one; one = waiting.shift()) this.take(one.line, one.body);
    turn?.resolve();
  };
}

function sizeOf(line: string, body: Uint8Array): number {
  return 2 * line.length + body.length;
}
