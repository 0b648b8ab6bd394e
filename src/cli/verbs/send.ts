/** Implements `busbar request`, `submit`, `broadcast` and `publish`, which send what a module would send. */
import type { Known, Unknown } from '../../inspect';
import { broadcast, BusError, defineModule, event, Failure, request, unchecked, work } from '../../index';
import type { AnyEntry, Broadcast, Event, Request, Schema, Work } from '../../index';
import { issueMessage } from '../../contract/check';
import { errorMessage } from '../../base/errors';
import { body as bodyOf, duration } from '../args';
import { exits, Usage, type Exit } from '../exit';
import { toJson } from '../json';
import type { Desk } from '../run';
import { oneLine } from '../words';

export interface SendOptions {
  readonly unchecked?: boolean;
  readonly timeout?: string;
  readonly to?: string;
  readonly all?: boolean;
  readonly key?: string;
  readonly queue?: string;
}
const verbOf = { request: 'request', work: 'submit', broadcast: 'broadcast', event: 'publish' } as const;

export async function send(
  desk: Desk,
  kind: AnyEntry['kind'],
  entry: string,
  json: string | undefined,
  options: SendOptions,
): Promise<Exit> {
  if (!/^[a-z][\w-]*\.[a-z]\w*$/i.test(entry))
    throw new Usage(`${entry} is not the name of an entry, such as photos.add`);
  const body = json === undefined ? undefined : await bodyOf(json, process.stdin);
  const known = options.unchecked ? undefined : await checked(desk, kind, entry, body);
  switch (kind) {
    case 'request':
      return options.all ? askAll(desk, requestOf(entry), body, options) : ask(desk, requestOf(entry), body, options);
    case 'work':
      return sent(desk, entry, await desk.bus.submit(await workOf(desk, entry, known, options), body));
    case 'broadcast':
      return sent(desk, entry, await desk.bus.broadcast(broadcastOf(entry), body));
    case 'event':
      return sent(desk, entry, await desk.bus.publish(await eventOf(desk, entry, known, options), body));
  }
}

/**
 * Requests a check of the body from a live instance, because the schemas are in its contract. Rejects when the check
 * fails or no instance can do it.
 */
async function checked({ parts }: Desk, kind: AnyEntry['kind'], entry: string, body: unknown): Promise<Known> {
  const { askCheck } = await import('../../inspect');
  const known = await askCheck(parts, entry, body);
  if (!known.known) throw await unknownEntryError(parts, kind, entry, known);
  if (known.kind !== kind) {
    throw new Usage(
      `${entry} is of the kind ${known.kind}: use busbar ${verbOf[known.kind]}, not busbar ${verbOf[kind]}`,
    );
  }
  if (known.issues.length > 0) {
    const faults = known.issues.map((issue) => `\n  ${oneLine(issueMessage(issue))}`);
    throw new Usage(`nothing was sent, ${entry} does not take this body:${faults.join('')}`);
  }
  return known;
}

/**
 * Returns the error for an entry that could not be checked: no instance responded, or those that did do not know it.
 */
async function unknownEntryError(
  { registry }: Desk['parts'],
  kind: AnyEntry['kind'],
  entry: string,
  { instances, entries }: Unknown,
): Promise<Error> {
  const { nearNames, UnknownName } = await import('../../inspect');
  const [module = ''] = entry.split('.');
  if (entries.length > 0) return new UnknownName('entry', entry, nearNames(entry, entries));
  const serving = new Set((await registry.all()).flatMap(({ serves }) => Object.keys(serves)));
  serving.delete('busbar');
  const near = nearNames(module, [...serving]);
  const meant = near.length > 0 && instances === 0 ? `; running are ${near.join(', ')}` : '';
  const waits = kind === 'work' || kind === 'event';
  const anyway = waits ? '; --unchecked sends it without a check, and --key then sets the key' : '';
  const what = instances === 0 ? `no instance of ${module} is running` : `no instance of ${module} responds`;
  return new BusError('NoHandler', `${entry}: ${what} to check the body${meant}${anyway}`, { module, entry });
}

/**
 * A schema for the contracts made from typed names. A live instance has checked the body, or `--unchecked` skips the
 * check.
 */
const anything: Schema = unchecked<unknown>();
/** Declares every failure name, so that any failure of the entry is returned to the operator. */
const anyFailure = new Proxy<Record<string, Schema>>(
  {},
  {
    get: () => anything,
    // A check for a declared name must find a property for any name.
    getOwnPropertyDescriptor: () => ({ value: anything, configurable: true, enumerable: true }),
  },
);

function entryOf<E extends AnyEntry>(name: string, entry: E): E {
  const [module = '', short = ''] = name.split('.');
  // The cast is safe: `defineModule` returns the entry under its short name.
  return (defineModule(module, { [short]: entry }) as unknown as Record<string, E>)[short] ?? entry;
}
const requestOf = (name: string): Request => entryOf(name, request(anything, anything, { failures: anyFailure }));
const broadcastOf = (name: string): Broadcast => entryOf(name, broadcast(anything));

/**
 * Declares the entry with the key and queue that the live instance returned, because they determine the topic and
 * partition.
 */
async function workOf(desk: Desk, name: string, known: Known | undefined, options: SendOptions): Promise<Work> {
  const { key = options.key ?? null } = known ?? {};
  const queue = known ? known.queue : await queueUnchecked(desk, name, options);
  return entryOf(name, work(anything, { ...keyed(key), ...(queue !== null && { queue }) }));
}
/**
 * Returns the own queue of an entry that is sent unchecked: from `--queue`, from an instance that knows the entry, or
 * from the topic in which a message of it is. Null is the queue of the module.
 */
async function queueUnchecked({ parts, out }: Desk, name: string, { queue }: SendOptions): Promise<string | null> {
  if (queue !== undefined) return queue === 'work' ? null : queue;
  const { askCheck, findOwnQueue } = await import('../../inspect');
  const known = await askCheck(parts, name, undefined);
  if (known.known) return known.queue;
  const found = await findOwnQueue(parts, name);
  if (found !== undefined) return found;
  const text = `no instance and no message shows the queue of ${name}: it is sent to that of its module`;
  out.note(`${text}. If the entry has another queue, name it with --queue`);
  return null;
}
async function eventOf({ parts }: Desk, name: string, known: Known | undefined, options: SendOptions): Promise<Event> {
  const { keepMsOfEvent } = await import('../../inspect/retention');
  const { key = options.key ?? null } = known ?? {};
  const keepMs = await keepMsOfEvent(parts, name);
  return entryOf(name, event(anything, { ...keyed(key), ...(keepMs !== undefined && { keepMs }) }));
}
function keyed(key: string | null): { key?: () => string } {
  return key === null ? {} : { key: () => key };
}

async function ask({ bus, out, signal }: Desk, entry: Request, body: unknown, options: SendOptions): Promise<Exit> {
  const { to } = options;
  try {
    const reply = await bus.request(entry, body, { signal, ...timeoutOf(options), ...(to !== undefined && { to }) });
    if (out.forPeople) out.line(oneLine(toJson(reply, out.bytes)));
    else out.value(reply);
    return exits.done;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    out.note(`${oneLine(error.message)} ${oneLine(toJson(error.data, out.bytes))}`);
    return exits.failed;
  }
}

async function askAll({ bus, out, signal }: Desk, entry: Request, body: unknown, options: SendOptions): Promise<Exit> {
  const answers = await bus.requestAll(entry, body, { signal, ...timeoutOf(options) });
  type One = (typeof answers)[number];
  const text = (one: One): string =>
    one.ok ? toJson(one.value, out.bytes) : `${one.error.code}: ${errorMessage(one.error)}`;
  const columns = [
    { name: 'INSTANCE', show: ({ from }: One) => from.instance },
    { name: 'STATE', show: ({ ok }: One) => (ok ? 'answered' : 'failed') },
    { name: 'ANSWER', show: text },
  ];
  const json = (one: One): unknown =>
    one.ok
      ? { instance: one.from.instance, value: one.value }
      : { instance: one.from.instance, error: { code: one.error.code, message: one.error.message } };
  await out.list({ columns, json }, answers);
  if (answers.length === 0) {
    out.note(`no instance serves ${entry.name}`);
    return exits.unreachable;
  }
  return answers.every(({ ok }) => ok) ? exits.done : exits.failed;
}

function sent({ out }: Desk, entry: string, { id, reached }: { id: string; reached?: string }): Exit {
  if (!out.forPeople) out.value({ id, entry, reached });
  else out.line(`${entry} ${id}${reached === undefined ? '' : `  safe: ${reached}`}`);
  return exits.done;
}

function timeoutOf({ timeout }: SendOptions): { timeoutMs?: number } {
  return timeout === undefined ? {} : { timeoutMs: duration('--timeout', timeout) };
}
