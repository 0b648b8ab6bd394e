/** Handlers of the simulated modules: they take time, fail, park and send messages. */
import { sleep } from '../../src/base/clock';
import type { Context, WorkContext } from '../../src/delivery/context';
import type { Checks, Load } from './checks';
import type { Body } from './contracts';
import type { Instance } from './instance';
import type { Ledger, Message } from './ledger';

/** Dead processes do nothing: this promise never resolves. */
const never = new Promise<never>(() => undefined);

/** Thrown by handlers that fail as planned. */
export class Planned extends Error {}

/** Sends from within handlers; resolves whatever the outcome. */
export interface Inside {
  tell(instance: Instance, key: string): Promise<void>;
  /** Submits the job of this number that the handlers of a message in a queue submit. */
  pass(instance: Instance, from: Message, queue: string, number: number): Promise<void>;
  askInside(instance: Instance, deadline: number): Promise<void>;
}
export interface Acting {
  readonly checks: Checks;
  readonly ledger: Ledger;
  readonly instance: Instance;
  readonly senders: Inside;
  readonly load: Load;
}

/** Handles messages of a queue. */
export function queueHandler(acting: Acting, group: string, entry: string) {
  const { checks, ledger, instance, load } = acting;
  const queue = checks.queue(group);
  return async (body: Body, context: WorkContext): Promise<void> => {
    if (instance.dead) return never;
    const message = checks.received(instance, entry, body, context.id);
    const handling = message && queue.starts(instance, message, context.attempt);
    if (!message || !handling) return;
    const about = `${instance.name} ${group} #${message.n}`;
    ledger.note(`${about} starts, attempt ${context.attempt}`);
    checks.enters(instance, load, `${group} ${entry}`);
    const { starts } = handling.track;
    let ok = false;
    try {
      await act(acting, group, message, context);
      if (message.script.parks) context.park('as planned');
      if (starts <= message.script.fails) throw new Planned(`start ${starts} fails`);
      ok = true;
    } finally {
      if (instance.dead) await never;
      ledger.note(`${about} ${ok ? 'ends' : 'fails'}`);
      ledger.count(ok ? 'handled' : 'attempts failed');
      checks.leaves(load, `${group} ${entry}`);
      queue.ends(handling, ok);
    }
  };
}

async function act({ instance, senders }: Acting, group: string, message: Message, context: Context): Promise<void> {
  const { n, key, script } = message;
  const { clock } = instance.process;
  for (let passed = 0; passed < script.passes; passed++) await senders.pass(instance, message, group, passed);
  // Every other handler obeys its signal. Handlers that do not must do no harm either.
  if (script.tookMs > 0) await sleep(clock, script.tookMs, n % 2 === 0 ? context.signal : undefined);
  if (n % 2 === 0 && context.signal.aborted) throw new Planned('its signal aborted');
  for (let told = 0; told < script.tells; told++) await senders.tell(instance, key ?? 'k');
}

/** Answers requests. */
export function requestHandler({ checks, ledger, instance, senders, load }: Acting, entry: string) {
  return async (body: Body, context: Context & { fail(code: 'Refused', data: Body): never }): Promise<Body> => {
    if (instance.dead) return never;
    const message = checks.received(instance, entry, body, context.id);
    if (!message) return body;
    ledger.note(`${instance.name} ${entry} #${message.n} starts`);
    checks.requests.starts(instance, message, context.deadline);
    checks.enters(instance, load, entry);
    const { tookMs, fails, parks, tells } = message.script;
    if (tookMs > 0) await sleep(instance.process.clock, tookMs);
    if (tells > 0) await senders.askInside(instance, context.deadline);
    if (instance.dead) return never;
    checks.leaves(load, entry);
    ledger.count('answered');
    checks.requests.ends(message, parks ? 'Refused' : fails > 0 ? 'HandlerFailed' : 'ok');
    if (parks) context.fail('Refused', body);
    if (fails > 0) throw new Planned('it fails');
    return body;
  };
}

/** Handles broadcasts, and events without a name. */
export function hearingHandler({ checks, ledger, instance }: Acting, entry: string) {
  const check = entry.startsWith('facts.') ? checks.events : checks.broadcasts;
  return async (body: Body, context: Context): Promise<void> => {
    if (instance.dead) return never;
    const message = checks.received(instance, entry, body, context.id);
    if (!message) return;
    ledger.note(`${instance.name} receives ${entry} #${message.n}`);
    ledger.count('heard');
    const ends = check.starts(instance, message);
    if (message.script.tookMs > 0) await sleep(instance.process.clock, message.script.tookMs);
    ends();
    if (message.script.fails > 0) throw new Planned('it fails');
  };
}
