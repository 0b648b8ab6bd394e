/** One connection to one broker by kafkajs: its framing, TLS and SASL, with our deadlines and without its timers. */
import net from 'node:net';
import tls from 'node:tls';
import KafkajsConnection from 'kafkajs/src/network/connection';
import { sleep, type Clock } from '../../base/clock';
import { sayError } from '../../base/errors';
import { apiVersions, type Ask, Bytes } from '../protocol/request';
import { WireError } from '../protocol/errors';
import { readLogin, readTls, type Security, type TlsFiles } from './security';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly security: Security;
  readonly clock: Clock;
  /** Connecting, encryption and login together. */
  readonly connectMs: number;
  /** Called when the broker wants to be left alone for a while after a request. */
  readonly throttled?: ((request: string, ms: number) => void) | undefined;
  /** Called once, when nothing can be asked any more. */
  onGone(): void;
}

const silent = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} };
const keepAliveMs = 30_000;
/** Of one answer, as many as brokers take in one request. What announces more is no broker, or garbled. */
const answerBytesMax = 100 * 1024 * 1024;

/** Connects at once; what is asked meanwhile waits for that, within its own deadline. Throws SECRET. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #kafkajs: KafkajsConnection;
  readonly #ready: Promise<void>;
  readonly #tls: TlsFiles | undefined;
  /** Of all who wait for something. */
  readonly #rejects = new Set<(reason: WireError) => void>();
  #socket: net.Socket | undefined;
  #failure: Error | undefined;
  #ended: WireError | undefined;
  #hasAnswered = false;
  /** Until then the broker wants to be left alone; monotonic time. */
  #throttledUntilMs = 0;

  constructor(options: ConnectionOptions) {
    const { host, port, clientId, security, connectMs } = options;
    this.#options = options;
    this.#tls = readTls(security);
    this.#kafkajs = new KafkajsConnection({
      host,
      port,
      clientId,
      logger: silent,
      ssl: null, // our socket factory knows
      sasl: readLogin(security) ?? null,
      connectionTimeout: connectMs,
      requestTimeout: 2 ** 31 - 1, // the deadlines are ours
      enforceRequestTimeout: false,
      socketFactory: ({ onConnect }) => this.#connect(onConnect),
    });
    stopIdleTimer(this.#kafkajs.requestQueue);
    this.#guard(this.#kafkajs);
    this.#ready = this.#within(this.#open(), connectMs, 'connecting', false).catch((error: unknown) => {
      const reason = this.#why(error, false);
      this.end(reason);
      throw reason;
    });
    this.#ready.catch(() => undefined); // told to those who ask
  }

  get #place(): string {
    return `${this.#options.host}:${this.#options.port}`;
  }

  #connect(onConnect: () => void): net.Socket {
    const { host, port } = this.#options;
    const name = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = this.#tls
      ? tls.connect({ host, port, ...name, ...this.#tls }, onConnect)
      : net.connect({ host, port }, onConnect);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    socket.on('error', (error) => (this.#failure = error));
    socket.once('close', () =>
      this.end(this.#why(this.#failure ?? new Error('the broker closed the connection'), true)),
    );
    this.#socket = socket;
    return socket;
  }

  /**
   * kafkajs believes every length, and throws into the socket's event when there are fewer bytes. Who knows what was
   * done of that which waits for an answer: so it is the connection that has ended, and no answer that was given.
   */
  #guard(kafkajs: KafkajsConnection): void {
    const take = kafkajs.processData.bind(kafkajs);
    kafkajs.processData = (data) => {
      if (this.#ended) return;
      try {
        take(data);
        if (kafkajs.bytesNeeded <= answerBytesMax) return;
        throw new RangeError(`${kafkajs.bytesNeeded} bytes announced, at most ${answerBytesMax} are taken`);
      } catch (error) {
        this.end(this.#why(new Error(`what it sends is no answer of a broker: ${sayError(error)}`), true));
      }
    };
  }

  async #open(): Promise<void> {
    await this.#kafkajs.connect();
    const versions = await this.#kafkajs.send(protocolOf(apiVersions()));
    this.#kafkajs.setVersions(versions);
    this.#kafkajs.setSupportAuthenticationProtocol(true);
    await this.#kafkajs.authenticate();
  }

  /** Sends one request. When there is no answer in time, the connection ends. */
  async ask<T>(ask: Ask<T>, timeoutMs: number): Promise<T> {
    const { clock } = this.#options;
    const end = clock.mono() + timeoutMs;
    await this.#within(this.#ready, timeoutMs, ask.name, false);
    if (this.#ended) throw new WireError('CONNECTION', this.#ended.message, { sent: false });
    await this.#throttle(ask.name, end - clock.mono());
    try {
      const leftMs = Math.max(1, Math.round(end - clock.mono()));
      const protocol = protocolOf(ask, (ms) => this.#leaveAlone(ask.name, ms));
      const value = await this.#within(this.#kafkajs.send(protocol), leftMs, ask.name, true);
      this.#hasAnswered = true;
      return value;
    } catch (error) {
      const reason = this.#why(error, true);
      if (reason.code === 'DEADLINE') this.end(new WireError('CONNECTION', `closed, as ${reason.message}`));
      throw reason;
    }
  }

  #leaveAlone(request: string, ms: number): void {
    if (ms <= 0) return;
    const { clock, throttled } = this.#options;
    this.#throttledUntilMs = Math.max(this.#throttledUntilMs, clock.mono() + ms);
    throttled?.(request, ms);
  }
  /** Waits while the broker wants to be left alone. What cannot be sent in time is known not to be sent. */
  async #throttle(request: string, leftMs: number): Promise<void> {
    const { clock } = this.#options;
    const waitMs = this.#throttledUntilMs - clock.mono();
    if (waitMs <= 0) return;
    if (waitMs < leftMs) return this.#within(sleep(clock, waitMs), leftMs, request, false);
    const message = `${this.#place} delays this client by ${Math.round(waitMs)} ms, as a quota is used up`;
    throw new WireError('THROTTLING_QUOTA_EXCEEDED', message, { sent: false });
  }

  #within<T>(work: Promise<T>, timeoutMs: number, what: string, sent: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.after(timeoutMs, () =>
        reject(
          new WireError('DEADLINE', `${what}: no answer of ${this.#place} in ${Math.round(timeoutMs)} ms`, { sent }),
        ),
      );
      this.#rejects.add(reject);
      const settled = (): void => {
        timer.cancel();
        this.#rejects.delete(reject);
      };
      work.then(resolve, reject).then(settled, settled);
    });
  }

  /** The error of kafkajs or of the socket in our words. */
  #why(error: unknown, sent: boolean): WireError {
    if (error instanceof WireError) return error;
    const { name, type, code } = error as { name?: string; type?: unknown; code?: unknown }; // only looked at
    const said = `${this.#place}: ${sayError(error)}`;
    if (name === 'RangeError') return new WireError('UNDECODABLE', said, { cause: error });
    if (name === 'KafkaJSSASLAuthenticationError') return new WireError(refusalOf(said), said, { sent });
    if (typeof type === 'string') return new WireError(type, said, { sent });
    if (typeof code === 'string' && isOfTls(code)) return new WireError('TLS', `${said} (${code})`, { sent });
    const hint = this.#hasAnswered
      ? ''
      : ' before it answered: if that stays so, does the listener want TLS or a login?';
    return new WireError('CONNECTION', code === undefined ? said + hint : said, { sent });
  }

  /** Nothing more is asked; who waits is told `reason`. */
  end(reason: WireError): void {
    if (this.#ended) return;
    this.#ended = reason;
    for (const reject of this.#rejects) reject(reason);
    this.#kafkajs.rejectRequests(reason);
    this.#kafkajs.requestQueue.destroy();
    this.#socket?.destroy(reason); // an error, so that kafkajs stops waiting too
    this.#options.onGone();
  }
}

/** In the form that kafkajs sends. */
function protocolOf<T>({ name, key, version, body, read }: Ask<T>, throttled?: (ms: number) => void) {
  return {
    request: {
      apiKey: key,
      apiVersion: version,
      apiName: name,
      encode: () => Promise.resolve({ buf: body, buffer: body }),
    },
    response: {
      decode: (payload: Buffer) => {
        const answer = new Bytes(payload);
        const value = read(answer);
        throttled?.(answer.throttleMs);
        return Promise.resolve({ value, clientSideThrottleTime: 0 }); // we wait ourselves, within the deadline
      },
      parse: ({ value }: { readonly value: T }) => Promise.resolve(value),
    },
    logResponseError: false,
  };
}

function refusalOf(said: string): 'UNSUPPORTED_SASL_MECHANISM' | 'SASL_AUTHENTICATION_FAILED' {
  return said.includes('mechanism is not supported') ? 'UNSUPPORTED_SASL_MECHANISM' : 'SASL_AUTHENTICATION_FAILED';
}

/** Codes of OpenSSL's checks, and of Node's own. */
function isOfTls(code: string): boolean {
  return /^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH)/.test(code);
}

/** kafkajs wakes up every millisecond for requests that wait, also when there are none. */
function stopIdleTimer(queue: { readonly pending: readonly unknown[]; scheduleCheckPendingRequests(): void }): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
}
