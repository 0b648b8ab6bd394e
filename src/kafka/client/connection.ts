/** Runs a connection to a broker with kafkajs: its framing and SASL, but busbar's sockets and deadlines. */
import net from 'node:net';
import tls from 'node:tls';
import KafkajsConnection from 'kafkajs/src/network/connection';
import { sleep, type Clock } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { apiVersions, type ApiRequest, ResponseReader } from '../protocol/request';
import { KafkaError } from '../protocol/errors';
import { readLogin, readTls, type Security, type TlsFiles } from './security';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly security: Security;
  readonly clock: Clock;
  /** Deadline for connecting, TLS handshake and login together. */
  readonly connectMs: number;
  /** Called when the broker delays this client by `ms` after a request. */
  readonly throttled?: ((request: string, ms: number) => void) | undefined;
  /** Called once, when the connection has ended. */
  onGone(): void;
}

const silent = { namespace: () => silent, debug() {}, info() {}, warn() {}, error() {} };
const keepAliveMs = 30_000;
/**
 * Maximum bytes of one response, equal to the brokers' default limit of a request. A peer that announces more is not a
 * broker, or its bytes are damaged. Buffering them would fill the memory.
 */
const answerBytesMax = 100 * 1024 * 1024;

/**
 * Connection to one broker. The constructor connects immediately, and throws SECRET if a secret cannot be read.
 * Requests wait for the connection, within their own deadlines.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #kafkajs: KafkajsConnection;
  readonly #ready: Promise<void>;
  readonly #tls: TlsFiles | undefined;
  /** Reject functions of all pending waits. */
  readonly #rejects = new Set<(reason: KafkaError) => void>();
  #socket: net.Socket | undefined;
  #failure: Error | undefined;
  #ended: KafkaError | undefined;
  #hasAnswered = false;
  /** Monotonic time until which the broker delays this client. */
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
      ssl: null, // the socket factory opens TLS sockets
      sasl: readLogin(security) ?? null,
      connectionTimeout: connectMs,
      requestTimeout: 2 ** 31 - 1, // `#within` enforces the deadlines instead
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
    this.#ready.catch(() => undefined); // requests await it and get the error
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
   * Ends the connection when the peer sends invalid bytes. kafkajs trusts each length, and throws in the socket's event
   * handler when bytes are missing, which would crash the process. Pending requests reject with CONNECTION, since the
   * broker can have executed them.
   */
  #guard(kafkajs: KafkajsConnection): void {
    const take = kafkajs.processData.bind(kafkajs);
    kafkajs.processData = (data) => {
      if (this.#ended) return;
      try {
        take(data);
        if (kafkajs.bytesNeeded <= answerBytesMax) return;
        throw new RangeError(`${kafkajs.bytesNeeded} bytes announced, the limit is ${answerBytesMax}`);
      } catch (error) {
        this.end(this.#why(new Error(`its response is not one of a Kafka broker: ${errorMessage(error)}`), true));
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

  /** Sends one request. Ends the connection if the response does not arrive in time. */
  async ask<T>(ask: ApiRequest<T>, timeoutMs: number): Promise<T> {
    const { clock } = this.#options;
    const end = clock.mono() + timeoutMs;
    await this.#within(this.#ready, timeoutMs, ask.name, false);
    if (this.#ended) throw new KafkaError('CONNECTION', this.#ended.message, { sent: false });
    await this.#throttle(ask.name, end - clock.mono());
    try {
      const leftMs = Math.max(1, Math.round(end - clock.mono()));
      const protocol = protocolOf(ask, (ms) => this.#leaveAlone(ask.name, ms));
      const value = await this.#within(this.#kafkajs.send(protocol), leftMs, ask.name, true);
      this.#hasAnswered = true;
      return value;
    } catch (error) {
      const reason = this.#why(error, true);
      if (reason.code === 'DEADLINE') this.end(new KafkaError('CONNECTION', `closed, because ${reason.message}`));
      throw reason;
    }
  }

  #leaveAlone(request: string, ms: number): void {
    if (ms <= 0) return;
    const { clock, throttled } = this.#options;
    this.#throttledUntilMs = Math.max(this.#throttledUntilMs, clock.mono() + ms);
    throttled?.(request, ms);
  }
  /**
   * Waits while the broker delays this client. Rejects if the deadline is earlier; the request is then known to be
   * unsent.
   */
  async #throttle(request: string, leftMs: number): Promise<void> {
    const { clock } = this.#options;
    const waitMs = this.#throttledUntilMs - clock.mono();
    if (waitMs <= 0) return;
    if (waitMs < leftMs) return this.#within(sleep(clock, waitMs), leftMs, request, false);
    const message = `${this.#place} delays this client by ${Math.round(waitMs)} ms, because a quota is used up`;
    throw new KafkaError('THROTTLING_QUOTA_EXCEEDED', message, { sent: false });
  }

  #within<T>(work: Promise<T>, timeoutMs: number, what: string, sent: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.after(timeoutMs, () =>
        reject(
          new KafkaError('DEADLINE', `${what}: no response from ${this.#place} within ${Math.round(timeoutMs)} ms`, {
            sent,
          }),
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

  /** Converts an error of kafkajs or of the socket into a KafkaError. */
  #why(error: unknown, sent: boolean): KafkaError {
    if (error instanceof KafkaError) return error;
    const { name, type, code } = error as { name?: string; type?: unknown; code?: unknown }; // read only if present
    const said = `${this.#place}: ${errorMessage(error)}`;
    if (name === 'RangeError') return new KafkaError('UNDECODABLE', said, { cause: error });
    if (name === 'KafkaJSSASLAuthenticationError') return new KafkaError(refusalOf(said), said, { sent });
    if (typeof type === 'string') return new KafkaError(type, said, { sent });
    if (typeof code === 'string' && isOfTls(code)) return new KafkaError('TLS', `${said} (${code})`, { sent });
    const hint = this.#hasAnswered
      ? ''
      : ' before it responded. If this repeats, check whether the listener requires TLS or SASL';
    return new KafkaError('CONNECTION', code === undefined ? said + hint : said, { sent });
  }

  /** Ends the connection. Pending requests reject with `reason`. */
  end(reason: KafkaError): void {
    if (this.#ended) return;
    this.#ended = reason;
    for (const reject of this.#rejects) reject(reason);
    this.#kafkajs.rejectRequests(reason);
    this.#kafkajs.requestQueue.destroy();
    this.#socket?.destroy(reason); // with an error, so that kafkajs stops waiting too
    this.#options.onGone();
  }
}

/** Converts a request into the form that kafkajs sends. */
function protocolOf<T>({ name, key, version, body, read }: ApiRequest<T>, throttled?: (ms: number) => void) {
  return {
    request: {
      apiKey: key,
      apiVersion: version,
      apiName: name,
      encode: () => Promise.resolve({ buf: body, buffer: body }),
    },
    response: {
      decode: (payload: Buffer) => {
        const answer = new ResponseReader(payload);
        const value = read(answer);
        throttled?.(answer.throttleMs);
        return Promise.resolve({ value, clientSideThrottleTime: 0 }); // `#throttle` waits instead, within the deadline
      },
      parse: ({ value }: { readonly value: T }) => Promise.resolve(value),
    },
    logResponseError: false,
  };
}

function refusalOf(said: string): 'UNSUPPORTED_SASL_MECHANISM' | 'SASL_AUTHENTICATION_FAILED' {
  return said.includes('mechanism is not supported') ? 'UNSUPPORTED_SASL_MECHANISM' : 'SASL_AUTHENTICATION_FAILED';
}

/** Returns whether the code is of a TLS check by OpenSSL or by Node.js. */
function isOfTls(code: string): boolean {
  return /^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH)/.test(code);
}

/** Stops the timer of kafkajs while no request waits. It would run each millisecond and use CPU in idle processes. */
function stopIdleTimer(queue: { readonly pending: readonly unknown[]; scheduleCheckPendingRequests(): void }): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
}
