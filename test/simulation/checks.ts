/** All checkers of one run, and the rules of the system's queues by its contracts. */
import type { LogRecord, Stored } from '../../src/ports/log';
import type { ParkedNote } from '../../src/work/parked/park';
import type { Body, Contracts } from './contracts';
import { numberOf, padOf } from './contracts';
import { HearCheck } from './hearing';
import type { Instance } from './instance';
import type { Ledger, Message } from './ledger';
import { keepMsLong, type Plan } from './plan';
import { QueueCheck, type QueueRules } from './queue';
import { RequestCheck, type Ask } from './requests';
import type { Rule } from './shelf';

/** Concurrent handlers of one `serve` or `listen` call, which share its limits. */
export interface Load {
  /** By entry. */
  readonly running: Map<string, number>;
  /** Start times of loose jobs. */
  readonly looseMs: number[];
}

export class Checks {
  readonly requests: RequestCheck;
  readonly broadcasts: HearCheck;
  readonly events: HearCheck;
  /**
   * The last message sent before the first instance listened under a name, by group. The listener must receive all
   * later ones.
   */
  readonly opened = new Map<string, number>();
  /** Groups that an instance has joined, and their topics. */
  readonly joined = new Map<string, string>();
  /** Every incarnation of every instance. */
  readonly instances = new Map<string, Instance>();
  readonly #queues = new Map<string, QueueCheck>();

  constructor(
    readonly ledger: Ledger,
    readonly plan: Plan,
    contracts: Contracts,
  ) {
    this.requests = new RequestCheck(ledger);
    this.broadcasts = new HearCheck(ledger, 'broadcast');
    this.events = new HearCheck(ledger, 'listen', plan.keepMs >= keepMsLong);
    for (const rules of this.#rules(contracts)) this.#queues.set(rules.group, new QueueCheck(ledger, rules));
  }

  #rules({ jobs, facts }: Contracts): QueueRules[] {
    const { attempts, handoverMs, commitMs } = this.plan;
    const unkeptMsMax = commitMs + 2_000;
    const ruleOf = (retry: Rule['retry']): Rule => ({ retry, attempts });
    const work = new Map<string, Rule>(
      [jobs.ordered, jobs.checked, jobs.aside, jobs.loose].map(({ name, options }) => [
        name,
        ruleOf(options.retry ?? 'in-order'),
      ]),
    );
    const listener = (group: string, queue: string, entry: string): QueueRules => ({
      group,
      queue,
      entries: new Map([[entry, ruleOf('in-order')]]),
      handoverMs,
      unkeptMsMax,
      owes: ({ n }) => n > (this.opened.get(group) ?? Infinity),
    });
    return [
      { group: 'sim.jobs.work', queue: 'jobs.work', entries: work, handoverMs, unkeptMsMax, owes: () => true },
      listener('sim.index.index.facts.fact', 'index.index', facts.fact.name),
      listener('sim.jobs.news.facts.news', 'jobs.news', facts.news.name),
    ];
  }

  queue(group: string): QueueCheck {
    const found = this.#queues.get(group);
    if (!found) throw new Error(`no check exists for the group ${group}`);
    return found;
  }
  get queues(): Iterable<QueueCheck> {
    return this.#queues.values();
  }

  opens(group: string): void {
    if (!this.opened.has(group)) this.opened.set(group, this.ledger.messages.size);
  }

  /** Returns the message of a body that a handler received. */
  received(who: Instance, entry: string, body: Body, id: string): Message | undefined {
    const message = this.ledger.messages.get(body.n);
    const about = `#${body.n} ${entry} at ${who.name}`;
    if (!message || message.entry !== entry || body.pad !== padOf(body.n)) {
      this.ledger.breaks('phantom', about);
      return undefined;
    }
    if (message.fate === 'refused') this.ledger.breaks('refused', about);
    if ((message.id ??= id) !== id) this.ledger.breaks('phantom', `${about} has the id ${id}, not ${message.id}`);
    return message;
  }

  /** Its sender received an acknowledgement. */
  accepted(message: Message, id: string): void {
    if ((message.id ??= id) !== id) this.ledger.breaks('phantom', `#${message.n} has the id ${message.id}, not ${id}`);
    for (const queue of this.queues) queue.accepted(message);
    if (message.entry.startsWith('facts.')) this.events.accepted(message);
    else if (message.entry === 'jobs.shout') this.broadcasts.accepted(message);
  }

  /** Its caller received an error that allows a retry. */
  notDone({ message, startedBy }: Ask, code: string): void {
    this.ledger.told(message, 'refused', code);
    const [who] = startedBy;
    if (who) this.ledger.breaks('refused', `#${message.n} ${message.entry} ended as ${code}, ${who.name} started it`);
  }

  /**
   * An instance that leaves in good order answers the requests that it started; its other requests are sent to other
   * instances.
   */
  responderLost({ message, caller }: Ask, name: string): void {
    const packetsGetLost = this.plan.faults.perCall > 0;
    if (!this.instances.get(name)?.leftWell || packetsGetLost || caller.stoodStillSince(message.sentMs)) return;
    this.ledger.breaks('request', `#${message.n} of ${caller.name} was lost by ${name}, which has left in good order`);
  }

  /** A handler starts: at most as many run at once as the instance allows. */
  enters({ name }: Instance, load: Load, entry: string): void {
    const running = (load.running.get(entry) ?? 0) + 1;
    load.running.set(entry, running);
    const { concurrency } = this.plan;
    if (entry === 'sim.jobs.work jobs.loose') this.#checkRate(name, load);
    if (running > concurrency) this.ledger.breaks('bounds', `${running} of ${concurrency} ${entry} at ${name}`);
  }
  /** After a pause one second of jobs can start at once, so twice as many within a second. */
  #checkRate(name: string, { looseMs }: Load): void {
    const { perSecond } = this.plan;
    if (perSecond === null) return;
    const { nowMs } = this.ledger;
    looseMs.push(nowMs);
    const tookMs = nowMs - (looseMs.at(-1 - 2 * perSecond) ?? -Infinity);
    if (tookMs < 999) this.ledger.breaks('bounds', `${2 * perSecond} loose jobs start at ${name} in ${tookMs} ms`);
  }
  leaves({ running }: Load, entry: string): void {
    running.set(entry, (running.get(entry) ?? 0) - 1);
  }

  /** True if no checker waits for a message. */
  get done(): boolean {
    for (const { owed } of this.queues) if (owed.size > 0) return false;
    return this.requests.waiting === 0 && this.broadcasts.waiting === 0 && this.events.waiting === 0;
  }

  /** Returns the message of a parked record, also when a stub lacks its body. Undefined for foreign records. */
  parkedOf({ value, headers }: LogRecord): Message | undefined {
    const message = this.ledger.messages.get(numberOf(value) ?? 0);
    if (message || value?.length !== 0) return message;
    const { id } = JSON.parse(headers['parked'] ?? '{}') as Partial<ParkedNote>; // written by work/park
    return [...this.ledger.messages.values()].find((one) => one.id === id);
  }

  /** `parked` holds the records of the parked topics. */
  end(parked: readonly Stored[]): void {
    const there = new Set(parked.map((record) => this.parkedOf(record)?.n));
    for (const queue of this.queues) {
      queue.end();
      for (const n of queue.parked) if (!there.has(n)) this.ledger.breaks('lost', `#${n} was parked and is not there`);
    }
    this.requests.end();
    this.broadcasts.end();
    this.events.end();
  }
}
