/**
 * Handlers that the instances of each module serve and listen with, and how they stop and restart them while running.
 */
import type { Checks } from './checks';
import type { Contracts } from './contracts';
import { hearingHandler, queueHandler, requestHandler, type Acting } from './handlers';
import type { Instance } from './instance';
import type { Plan } from './plan';
import type { Senders } from './senders';

export class Modules {
  constructor(
    private readonly plan: Plan,
    private readonly contracts: Contracts,
    private readonly checks: Checks,
    private readonly senders: Senders,
  ) {}

  async begin(instance: Instance): Promise<void> {
    if (instance.module === 'jobs') await this.#beginWorker(instance);
    if (instance.module === 'index') await this.#beginListener(instance);
  }

  /** Stops all handlers and starts them again on the same bus. */
  async again(instance: Instance): Promise<void> {
    instance.ready = false;
    this.checks.broadcasts.stops(instance);
    this.checks.events.stops(instance);
    await Promise.all(instance.served.splice(0).map((one) => one.close()));
    await this.begin(instance);
    instance.ready = true;
  }

  async #beginWorker(instance: Instance): Promise<void> {
    const { jobs, facts } = this.contracts;
    const acting = this.#acting(instance);
    const work = (entry: string) => queueHandler(acting, 'sim.jobs.work', entry);
    const handlers = {
      ordered: work(jobs.ordered.name),
      checked: work(jobs.checked.name),
      aside: work(jobs.aside.name),
      loose: work(jobs.loose.name),
      ask: requestHandler(acting, jobs.ask.name),
      twice: requestHandler(acting, jobs.twice.name),
      shout: hearingHandler(acting, jobs.shout.name),
    };
    const { concurrency, perSecond } = this.plan;
    const options = { concurrency, ...(perSecond !== null && { perSecond: { loose: perSecond } }) };
    instance.served.push(await instance.bus.serve(jobs, handlers, options));
    if (!instance.dead) this.checks.broadcasts.listens(instance, jobs.shout.name);
    if (this.plan.newsQueue) await this.#listenAs(instance, 'news', facts.news, 'sim.jobs.news.facts.news');
  }

  async #beginListener(instance: Instance): Promise<void> {
    const { facts } = this.contracts;
    const acting = this.#acting(instance);
    for (const entry of [facts.fact, facts.news]) {
      instance.served.push(await instance.bus.listen(entry, hearingHandler(acting, entry.name)));
      if (!instance.dead) this.checks.events.listens(instance, entry.name);
    }
    await this.#listenAs(instance, 'index', facts.fact, 'sim.index.index.facts.fact');
  }

  async #listenAs(instance: Instance, as: string, entry: Contracts['facts']['fact'], group: string): Promise<void> {
    const { attempts, backoffMs, handoverMs, concurrency } = this.plan;
    const options = { as, attempts, backoffMs, handoverMs, concurrency };
    const run = queueHandler(this.#acting(instance), group, entry.name);
    instance.served.push(await instance.bus.listen(entry, options, run));
    this.checks.opens(group);
  }

  #acting(instance: Instance): Acting {
    const { checks, senders } = this;
    return { checks, ledger: checks.ledger, instance, senders, load: { running: new Map(), looseMs: [] } };
  }
}
