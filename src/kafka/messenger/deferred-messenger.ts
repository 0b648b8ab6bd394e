/** Messenger of a bus that can open while the brokers are away: it is opened again and again until that succeeds. */
import { sleep, type Clock } from '../../base/clock';
import { BusError, errorMessage, isBusError } from '../../base/errors';
import { closable, deferred, type Closable } from '../../base/lifecycle';
import { openStates, type Notices, type States } from '../../base/notices';
import type { Messenger, Packet, Receiver } from '../../ports/messenger';
import type { Instance, Registry } from '../../ports/registry';

/** Time without a response after which the brokers count as away, in ms. Running brokers respond earlier. */
const awayMs = 2_000;
/** Pause between two attempts to open, in ms. An attempt waits for the brokers itself. */
const retryMs = 1_000;
/** Time for which a call waits for the brokers, in ms: that of other requests to them. */
const waitMs = 10_000;

export interface DeferredMessengerParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly registry: Registry;
  /** Opens the messenger. Rejects with Unreachable if the brokers do not respond, or when the signal aborts. */
  readonly open: (signal: AbortSignal) => Promise<Messenger>;
  /** Returns whether a broker has responded since the start. */
  readonly hasResponded: () => boolean;
}
export interface OpenedMessenger {
  readonly messenger: Messenger;
  /** The registry for the bus. It announces nothing, and is not watched, before the messenger is open. */
  readonly registry: Registry;
  /** Resolves when no attempt to open is in progress. It must be awaited after the connections were closed. */
  readonly idle: () => Promise<void>;
}

/**
 * Resolves with the messenger when it is open, or with a deferred one when the brokers do not respond within two
 * seconds. Brokers that respond are waited for. Rejects with the errors of opening, except Unreachable.
 */
export async function openOrDefer(parts: DeferredMessengerParts): Promise<OpenedMessenger> {
  const { clock, registry, hasResponded } = parts;
  const closing = new AbortController();
  const opening = parts.open(closing.signal);
  const opened = opening.catch((error: unknown) => {
    if (!isBusError(error, 'Unreachable')) throw error;
  });
  const over = new AbortController();
  const limit = sleep(clock, awayMs, over.signal).then(() => (hasResponded() ? opened : undefined));
  const messenger = await Promise.race([opened, limit]).finally(() => over.abort());
  if (messenger) return { messenger, registry, idle: () => Promise.resolve() };
  const late = new DeferredMessenger(parts, opening, closing);
  return { messenger: late, registry: late.registry, idle: () => late.idle };
}

/**
 * Until the messenger is open, a call to it, and a watch of the registry, rejects with Unreachable. The announcement is
 * kept, and made when it is open.
 */
class DeferredMessenger implements Messenger {
  readonly registry: Registry;
  /** Resolves when no attempt to open is in progress. */
  readonly idle: Promise<void>;
  readonly #states: States;
  readonly #opened = deferred<void>();
  #messenger: Messenger | undefined;
  #receiver: Receiver | undefined;
  /** Announcement that waits for the address of the messenger. */
  #instance: Instance | undefined;
  #reason = `no response within ${awayMs} ms`;
  readonly #closer = closable(() => this.#close());
  readonly close = (): Promise<void> => this.#closer.close();

  constructor(
    private readonly parts: DeferredMessengerParts,
    opening: Promise<Messenger>,
    private readonly closing: AbortController,
  ) {
    this.#states = openStates(parts.notices);
    this.registry = this.#deferring(parts.registry);
    this.#fails(this.#reason);
    this.idle = this.#run(opening);
  }

  /** Opens the messenger, and announces the instance. Never rejects. */
  async #run(opening: Promise<Messenger>): Promise<void> {
    await this.#untilDone(async (attempt) => this.#use(await (attempt === 0 ? opening : this.#openAgain())));
    await this.#untilDone(() => this.#announce());
    this.#states.works('messenger', 'the brokers respond, so requests and broadcasts are sent and received');
  }
  /** Repeats a step until it succeeds or the bus is closed. */
  async #untilDone(step: (attempt: number) => Promise<void>): Promise<void> {
    for (let attempt = 0; !this.closing.signal.aborted; attempt++) {
      try {
        return await step(attempt);
      } catch (error) {
        this.#fails(errorMessage(error));
      }
      await sleep(this.parts.clock, retryMs, this.closing.signal);
    }
  }
  #openAgain(): Promise<Messenger> {
    return this.parts.open(this.closing.signal);
  }
  async #use(messenger: Messenger): Promise<void> {
    if (this.closing.signal.aborted) return messenger.close();
    this.#messenger = messenger;
    if (this.#receiver) messenger.receive(this.#receiver);
    this.#opened.resolve();
  }
  async #announce(): Promise<void> {
    if (this.#instance) await this.parts.registry.announce({ ...this.#instance, address: this.address });
  }
  #fails(cause: string): void {
    this.#reason = cause;
    if (this.closing.signal.aborted) return; // a closed connection is no evidence
    const reason = `requests and broadcasts wait for the brokers, which are away since the start: ${cause}`;
    this.#states.fails('messenger', reason);
  }

  /** Returns a registry that announces and watches only when the messenger is open. */
  #deferring(registry: Registry): Registry {
    return {
      announce: async (instance) => {
        this.#instance = instance;
        if (this.#messenger) await registry.announce(instance);
      },
      withdraw: async () => {
        this.#instance = undefined;
        await registry.withdraw();
      },
      watch: async (contract, see) => {
        this.#open();
        return registry.watch(contract, see);
      },
      all: () => registry.all(),
      find: (name) => registry.find(name),
      ...closable(() => registry.close()),
    };
  }

  // --- the port

  /** Returns the messenger. Throws Unreachable before it is open. */
  #open(waitedMs = 0): Messenger {
    if (this.#messenger) return this.#messenger;
    const message = `the brokers are away since the start: ${this.#reason}`;
    throw new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs, cause: this.#reason });
  }
  /** Returns the messenger when it is open. Rejects with Unreachable at the limit, and when the bus is closed. */
  async #whenOpen(): Promise<Messenger> {
    if (this.#messenger) return this.#messenger;
    const startMs = this.parts.clock.mono();
    const over = new AbortController();
    const limit = sleep(this.parts.clock, waitMs, over.signal);
    await Promise.race([this.#opened.promise, limit]).finally(() => over.abort());
    return this.#open(Math.round(this.parts.clock.mono() - startMs));
  }
  /** Empty before the messenger is open. The registry above replaces it in an announcement. */
  get address(): string {
    return this.#messenger?.address ?? '';
  }
  receive(receiver: Receiver): void {
    this.#receiver = receiver;
    this.#messenger?.receive(receiver);
  }
  send(to: string, packet: Packet): void {
    this.#open().send(to, packet);
  }
  async broadcast(module: string, packet: Packet): Promise<number | undefined> {
    return (await this.#whenOpen()).broadcast(module, packet);
  }
  async join(module: string): Promise<Closable> {
    return (await this.#whenOpen()).join(module);
  }
  async allAddresses(): Promise<readonly string[]> {
    return (await this.#messenger?.allAddresses?.()) ?? [];
  }
  get skewMs(): number {
    return this.#messenger?.skewMs ?? 0;
  }
  get skewMaxMs(): number {
    return this.#messenger?.skewMaxMs ?? this.skewMs;
  }
  whyDelayed(to: string): string | undefined {
    return this.#messenger?.whyDelayed?.(to);
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  async #close(): Promise<void> {
    this.closing.abort();
    this.#opened.resolve();
    await this.#messenger?.close();
  }
}
