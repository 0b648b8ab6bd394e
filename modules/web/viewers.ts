/** Connected browsers: each holds one response open and receives events (Server-Sent Events). */
import type { ServerResponse } from 'node:http';

export const viewersMax = 200;
const beatMs = 15_000; // below the idle time-outs of common proxies
const waitingBytesMax = 256 * 1024;

export class Viewers {
  readonly #open = new Set<ServerResponse>();
  #beat: NodeJS.Timeout | undefined;

  get size(): number {
    return this.#open.size;
  }

  /** Returns false beyond `viewersMax`. */
  add(response: ServerResponse): boolean {
    if (this.#open.size >= viewersMax) return false;
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'keep-alive',
    });
    response.write('retry: 1000\n\n');
    this.#open.add(response);
    response.once('close', () => this.#open.delete(response));
    this.#beat ??= setInterval(() => this.#send(':\n\n'), beatMs).unref();
    return true;
  }

  tell(event: string, data: object): void {
    this.#send(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  close(): void {
    clearInterval(this.#beat);
    for (const response of this.#open) response.end();
  }

  /** Disconnects a browser that does not read: it reconnects and requests the list. */
  #send(text: string): void {
    for (const response of this.#open) {
      if (response.writableLength > waitingBytesMax) response.destroy();
      else response.write(text);
    }
  }
}
