/** Sends the messages of the sources: bursts of all kinds, some of which must be refused. */
import { sleep } from '../../src/base/clock';
import { Failure, isBusError } from '../../src/base/errors';
import type { Event, Work } from '../../src/contract/types';
import type { Checks } from './checks';
import { bodyOf, type Contracts } from './contracts';
import { dice, type Dice } from './dice';
import type { Instance } from './instance';
import type { Ledger, Message, Script } from './ledger';
import type { Plan } from './plan';
import type { Ask } from './requests';

const calmAsks = 4;
/** The longest time after which a job is submitted again with the same id. */
const copyAfterMsMax = 6_000;

/** Options of a request that are not drawn. */
interface Asking {
  readonly calm?: boolean;
  readonly to?: string;
  /** The deadline of the request inside whose handler it is made. */
  readonly outerMs?: number;
}

export class Senders {
  readonly #dice: Dice;
  /** Decides on ids, so that all other draws do not depend on them. */
  readonly #idDice: Dice;

  constructor(
    private readonly plan: Plan,
    private readonly contracts: Contracts,
    private readonly ledger: Ledger,
    private readonly checks: Checks,
  ) {
    this.#dice = dice(plan.seed, 3);
    this.#idDice = dice(plan.seed, 12);
  }

  /** Sends until the planned end, or until its process ends. */
  async run(instance: Instance): Promise<void> {
    const { clock } = instance.process;
    while (!instance.dead && !instance.leaving && this.ledger.nowMs < this.plan.sentMs) {
      if (this.#mayMany() && this.#idDice.chance(0.15)) this.#sendWithId(instance);
      for (let n = this.#mayMany() ? this.#dice.whole(1, 4) : 0; n > 0; n--) this.#one(instance);
      await sleep(clock, this.#dice.whole(0, this.plan.pauseMs));
    }
  }

  /**
   * True if more messages can be sent: few enough for a run of milliseconds, and some are reserved for the time after
   * the faults.
   */
  #mayMany(): boolean {
    const { messages, healMs } = this.plan;
    return this.ledger.messages.size < (this.ledger.nowMs < healMs ? messages : messages * 1.2);
  }

  /** Sends requests after the faults, to any worker and to each worker. All must be answered. */
  askCalmly(instance: Instance, workers: readonly Instance[]): void {
    if (instance.misled) return; // it received a wrong report that a running instance had left
    const { ask } = this.contracts.jobs;
    for (let n = 0; n < calmAsks; n++) void this.#ask(instance, ask, { calm: true });
    for (const { name } of workers) void this.#ask(instance, ask, { calm: true, to: name });
  }

  #one(instance: Instance): void {
    const { jobs, facts } = this.contracts;
    const key = this.#dice.pick(this.plan.keys);
    const draw = this.#dice.whole(1, 100);
    if (draw <= 28) void this.#send(instance, jobs.ordered, key);
    else if (draw <= 34) void this.#send(instance, jobs.checked, key);
    else if (draw <= 48) void this.#send(instance, jobs.aside, key);
    else if (draw <= 58) void this.#send(instance, jobs.loose, null);
    else if (draw <= 66) this.#sendList(instance, jobs.ordered, key);
    else if (draw <= 76) void this.#send(instance, facts.fact, key);
    else if (draw <= 80) void this.#send(instance, facts.news, null);
    else if (draw <= 87) void this.#ask(instance, jobs.ask);
    else if (draw <= 91) void this.#ask(instance, jobs.twice);
    else if (draw <= 96) void this.#shout(instance);
    else this.#sendBad(instance);
  }

  #script(): Script {
    const d = this.#dice;
    return {
      tookMs: d.chance(0.2) ? 0 : d.whole(0, d.chance(0.05) ? this.plan.tookMs * 6 : this.plan.tookMs),
      fails: d.chance(0.15) ? d.whole(1, 4) : 0,
      parks: d.chance(0.04),
      tells: d.chance(0.05) ? 1 : 0,
      passes: this.#idDice.chance(0.06) ? this.#idDice.whole(1, 2) : 0,
    };
  }

  /** Submits a job with an id several times. It must be handled like one that is sent once. */
  #sendWithId(instance: Instance): void {
    const message = this.#once(`${instance.name} with id`);
    const send = (): void => {
      if (!instance.dead && !instance.leaving) void this.#sendOnce(instance, message, { id: `once ${message.n}` });
    };
    send();
    for (let copies = this.#idDice.whole(1, 3); copies > 0; copies--)
      instance.process.clock.after(this.#idDice.whole(0, copyAfterMsMax), send);
  }

  /** Submits the same job at each attempt of a handler. Its id is derived, so it must be handled like one that is sent once. */
  pass(instance: Instance, from: Message, queue: string, number: number): Promise<void> {
    const name = `${queue} ${number}`;
    const message = from.passed.get(name) ?? this.#once(`#${from.n} in ${name}`);
    from.passed.set(name, message);
    return this.#sendOnce(instance, message, {});
  }

  /** Creates a message that is sent several times. It has a sender of its own, since its order to others is open. */
  #once(sender: string): Message {
    const { ordered } = this.contracts.jobs;
    const script = { ...this.#script(), tells: 0, passes: 0 };
    return this.ledger.send(
      ordered.name,
      this.#idDice.pick(this.plan.keys),
      `${sender} ${this.ledger.messages.size}`,
      script,
    );
  }

  async #sendOnce(instance: Instance, message: Message, how: { readonly id?: string }): Promise<void> {
    if (message.fate === 'refused') message.fate = 'open';
    message.sending++;
    this.ledger.note(`${instance.name} submits #${message.n}`);
    try {
      const { id } = await instance.bus.submit(this.contracts.jobs.ordered, bodyOf(message.n, message.key ?? ''), how);
      if (instance.dead) return;
      message.sending--;
      if (message.fate !== 'accepted') this.ledger.told(message, 'accepted');
      this.checks.accepted(message, id);
    } catch (error) {
      if (instance.dead) return; // it can have been sent, so the message is never refused
      message.sending--;
      const isLast = message.sending === 0 && message.fate === 'open';
      if (message.fate !== 'accepted' && (isUnknown(error) || isLast)) this.#failed(message, error, false);
    }
  }

  #send(instance: Instance, entry: Work | Event, key: string | null): Promise<void> {
    const message = this.ledger.send(entry.name, key, instance.name, this.#script());
    const body = bodyOf(message.n, key ?? '');
    const sent = entry.kind === 'work' ? instance.bus.submit(entry, body) : instance.bus.publish(entry, body);
    return this.#settles(
      instance,
      [message],
      sent.then((one) => [one]),
    );
  }

  #sendList(instance: Instance, entry: Work, key: string): void {
    const count = this.#dice.whole(2, 6);
    const messages = Array.from({ length: count }, () =>
      this.ledger.send(entry.name, key, instance.name, this.#script()),
    );
    const bodies = messages.map(({ n }) => bodyOf(n, key));
    void this.#settles(instance, messages, instance.bus.submitAll(entry, bodies));
  }

  /** Sends a list with one invalid body: no message of it must be sent. */
  #sendBad(instance: Instance): void {
    const { ordered } = this.contracts.jobs;
    const key = this.#dice.pick(this.plan.keys);
    const messages = [1, 2].map(() => this.ledger.send(ordered.name, key, instance.name, this.#script()));
    const bodies = messages.map(({ n }) => bodyOf(n, key));
    // The cast hides an invalid body, as a caller without types would send it.
    const sent = instance.bus.submitAll(ordered, [...bodies, { none: true } as unknown as (typeof bodies)[number]]);
    void this.#settles(instance, messages, sent, true);
  }

  /** Publishes a fact from inside a handler. */
  tell(instance: Instance, key: string): Promise<void> {
    return this.#send(instance, this.contracts.facts.fact, key);
  }

  async #settles(
    instance: Instance,
    messages: readonly Message[],
    sent: Promise<readonly { readonly id: string }[]>,
    bad = false,
  ): Promise<void> {
    try {
      const answers = await sent;
      if (instance.dead) return;
      messages.forEach((message, n) => {
        this.ledger.told(message, 'accepted');
        this.checks.accepted(message, answers[n]?.id ?? '');
      });
    } catch (error) {
      for (const message of instance.dead ? [] : messages) this.#failed(message, error, bad);
    }
  }

  #failed(message: Message, error: unknown, bad: boolean): void {
    const code = isBusError(error) ? error.code : `no BusError: ${String(error)}`;
    if (isUnknown(error) && !bad) return this.ledger.told(message, 'unknown', code);
    this.ledger.told(message, 'refused', code);
    if (
      code === (bad ? 'Invalid' : 'Overloaded') ||
      code === 'Closed' ||
      (['Unreachable', 'StoreBroken'].includes(code) && !bad)
    )
      return;
    this.ledger.breaks('quiet', `#${message.n} ${message.entry} was refused with ${code}`);
  }

  async #shout(instance: Instance): Promise<void> {
    const { shout } = this.contracts.jobs;
    const message = this.ledger.send(shout.name, null, instance.name, { ...this.#script(), parks: false, tells: 0 });
    await this.#settles(
      instance,
      [message],
      instance.bus.broadcast(shout, bodyOf(message.n, '')).then((one) => [one]),
    );
  }

  /** Sends a request from inside the handler of another one, whose deadline it inherits. */
  askInside(instance: Instance, deadline: number): Promise<void> {
    return this.#ask(instance, this.contracts.jobs.twice, { outerMs: deadline });
  }

  #ask(instance: Instance, entry: Contracts['jobs']['ask'], asking: Asking = {}): Promise<void> {
    const { calm = false, outerMs = Infinity, to } = asking;
    const tells = calm || outerMs < Infinity ? 0 : this.#dice.chance(0.1) ? 1 : 0;
    const message = this.ledger.send(entry.name, null, instance.name, { ...this.#script(), tells });
    const timeoutMs = this.#dice.chance(0.5) ? this.plan.timeoutMs : this.#dice.whole(50, 2_000);
    const deadlineMs = Math.min(Math.floor(this.ledger.clock.now()) + timeoutMs, outerMs);
    const how = { deadlineMs, idempotent: entry.options.idempotent ?? false, calm };
    const ask = this.checks.requests.asks(message, instance, how);
    const abort = new AbortController();
    if (!calm && this.#dice.chance(0.1)) {
      instance.process.clock.after(this.#dice.whole(0, timeoutMs), () => abort.abort());
    }
    const options = { timeoutMs, signal: abort.signal, ...(to === undefined ? this.#askHow() : { to }) };
    return instance.bus.request(entry, bodyOf(message.n, ''), options).then(
      (value) => void (instance.dead || this.checks.requests.settles(ask, 'ok', value)),
      (error: unknown) => void (instance.dead || this.#askFailed(ask, error)),
    );
  }

  #askFailed(ask: Ask, error: unknown): void {
    this.checks.requests.settles(ask, outcomeOf(error));
    if (isBusError(error) && error.retryable) this.checks.notDone(ask, error.code);
    if (isBusError(error, 'ResponderLost')) this.checks.responderLost(ask, error.details.instance);
  }

  #askHow(): { key?: string; waitForInstanceMs?: number } {
    if (this.#dice.chance(0.2)) return { key: this.#dice.pick(this.plan.keys) };
    return this.#dice.chance(0.3) ? { waitForInstanceMs: 1_000 } : {};
  }
}

function isUnknown(error: unknown): boolean {
  return isBusError(error, 'Unreachable', 'StoreBroken') && error.details.outcome === 'unknown';
}

function outcomeOf(error: unknown): string {
  return error instanceof Failure || isBusError(error) ? error.code : `thrown: ${String(error)}`;
}
