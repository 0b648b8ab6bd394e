/**
 * Implements `busbar replay` and `busbar drop`, which return parked messages to their queue or remove them permanently.
 */
import { open } from 'node:fs/promises';
import type { Chosen, ChosenMessage, Selection } from '../../inspect';
import { errorMessage } from '../../base/errors';
import { countOf, rateOf } from '../args';
import { recorded } from '../change';
import { exits, Usage, type Exit } from '../exit';
import { toJson } from '../json';
import type { Desk } from '../run';
import { age, oneLine, plural } from '../words';
import { plainMessage } from './body';
import { filterOf, type Filters } from './filter';

export interface RepairOptions extends Filters {
  readonly all?: boolean;
  readonly reasonLike?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly reason?: string;
  readonly rate?: string;
  readonly max?: string;
}
export interface DropOptions extends RepairOptions {
  readonly export?: string;
}
type Verb = 'replay' | 'drop';
type Run = (
  chosen: Chosen,
  done: (messages: readonly ChosenMessage[]) => void,
  failed: (message: ChosenMessage, error: unknown) => void,
) => Promise<number>;

export async function replay(desk: Desk, queue: string, ids: readonly string[], options: RepairOptions): Promise<Exit> {
  const { replayChosen } = await import('../../inspect');
  return repair(desk, 'replay', queue, ids, options, async (chosen, done, failed) => {
    return replayChosen(desk.parts, chosen, {
      signal: desk.signal,
      done,
      failed,
      reason: options.reason,
      ...(options.rate !== undefined && { perSecond: rateOf('--rate', options.rate) }),
    });
  });
}

export async function drop(desk: Desk, queue: string, ids: readonly string[], options: DropOptions): Promise<Exit> {
  const { dropChosen } = await import('../../inspect');
  return repair(desk, 'drop', queue, ids, options, async (chosen, done) => {
    const file = options.export ?? `dropped-${new Date(desk.nowMs()).toISOString().replace(/[:.]/g, '-')}.jsonl`;
    await exportAll(desk, chosen, file, options.reason);
    desk.out.note(`all of them are in ${file}`);
    return dropChosen(desk.parts, chosen, { signal: desk.signal, done, reason: options.reason });
  });
}

async function repair(
  desk: Desk,
  verb: Verb,
  name: string,
  ids: readonly string[],
  options: RepairOptions,
  run: Run,
): Promise<Exit> {
  const { out, signal } = desk;
  const { choose } = await import('../../inspect');
  const which = selectionOf(desk, ids, options);
  const { queue, filter } = await desk.inspector.parkedQueue(name);
  const all = await choose(desk.parts, queue, { ...which, ...filter });
  const most = options.max === undefined ? Infinity : countOf('--max', options.max);
  const chosen = { ...all, messages: all.messages.slice(0, most) };
  if (chosen.messages.length === 0) {
    out.note(`no message that is parked in ${queue} matches`);
    return exits.warning;
  }
  await announce(desk, verb, chosen);
  const left = all.messages.length - chosen.messages.length;
  if (left > 0) out.note(`${plural(left, 'message')} more match and stay parked (--max ${options.max}).`);
  if (options.dryRun) {
    out.note('dry run: nothing was changed');
    return out.forPeople ? exits.done : report(desk, verb, chosen, []);
  }
  if (!(await desk.confirm('continue?'))) {
    out.note('nothing was changed');
    return signal.aborted ? exits.interrupted : exits.warning;
  }
  const about = { verb, about: queue, ids: chosen.messages.map(({ id }) => id), ...detailsOf(options) };
  return recorded(desk, { ...about, ...desk.operator, reason: options.reason ?? null }, async () => {
    const touched: ChosenMessage[] = [];
    const exit = await carryOut(desk, verb, chosen, ids, options, touched, run);
    return { count: touched.length, exit };
  });
}

/** Runs a confirmed repair. Adds the finished messages to `touched`. */
async function carryOut(
  desk: Desk,
  verb: Verb,
  chosen: Chosen,
  ids: readonly string[],
  options: RepairOptions,
  touched: ChosenMessage[],
  run: Run,
): Promise<Exit> {
  const { out, signal } = desk;
  let refused = 0;
  const failed = ({ id }: ChosenMessage, error: unknown): void => {
    refused++;
    if (refused <= refusalsShown) out.note(`${oneLine(id)} stays parked: ${oneLine(errorMessage(error))}`);
  };
  try {
    await run(chosen, (messages) => void touched.push(...messages), failed);
  } catch (error) {
    leftOver(out, verb, chosen, touched, ids, options);
    throw error;
  }
  if (refused > refusalsShown) out.note(`and ${refused - refusalsShown} more stay parked, for similar reasons`);
  await report(desk, verb, chosen, touched);
  if (touched.length === chosen.messages.length) return exits.done;
  if (signal.aborted) {
    leftOver(out, verb, chosen, touched, ids, options);
    return exits.interrupted;
  }
  const taken = chosen.messages.length - touched.length - refused;
  if (taken > 0) out.note(`${taken} were replayed or dropped by another operator meanwhile`);
  return exits.failed;
}

/** Returns the arguments that the audit topic records. */
function detailsOf({ reasonLike, rate }: RepairOptions): { details?: Record<string, string> } {
  const details = { ...(reasonLike !== undefined && { reasonLike }), ...(rate !== undefined && { rate }) };
  return Object.keys(details).length > 0 ? { details } : {};
}

function selectionOf({ nowMs }: Desk, ids: readonly string[], options: RepairOptions): Selection {
  const { most, ...filter } = filterOf(options, nowMs());
  const { all, reasonLike } = options;
  if (most !== undefined)
    throw new Usage('-n cannot be combined with a change, because the messages that it leaves out would be arbitrary');
  if ((ids.length > 0 ? 1 : 0) + (all ? 1 : 0) + (reasonLike === undefined ? 0 : 1) !== 1) {
    throw new Usage('name the messages with ids, --reason-like TEXT or --all');
  }
  return { ...filter, ...(ids.length > 0 && { ids }), ...(reasonLike !== undefined && { reasonLike }) };
}

const reasonsShown = 5;
const refusalsShown = 20;

/** Prints the messages that the verb will change, before the operator confirms. */
async function announce(
  { inspector, out, nowMs }: Desk,
  verb: Verb,
  { queue, messages, alsoIn }: Chosen,
): Promise<void> {
  const many = plural(messages.length, 'message');
  const newest = Math.max(...messages.map(({ parkedAtMs }) => parkedAtMs));
  const oldest = Math.min(...messages.map(({ parkedAtMs }) => parkedAtMs));
  const [least, most] = [age(nowMs() - newest), age(nowMs() - oldest)];
  const when = least === most ? `parked ${most} ago` : `parked ${least} to ${most} ago`;
  if (verb === 'drop') out.note(`${many} of ${queue} will be deleted, ${when}.`);
  else out.note(`${many} will be sent to ${queue} again, in the order of sending, with their ids; ${when}.`);
  const reasons = [...new Set(messages.map(({ reason }) => reason))];
  for (const reason of reasons.slice(0, reasonsShown)) out.note(oneLine(`  ${reason}`));
  if (reasons.length > reasonsShown) out.note(`  and ${reasons.length - reasonsShown} other reasons`);
  if (verb === 'drop') return;
  const again = messages.filter(({ replay: before }) => before > 0).length;
  out.note(again > 0 ? `${again} of them were replayed before and parked again.` : 'none was replayed before.');
  const [view] = await inspector.queues([queue]).catch(() => []);
  if (view)
    out.note(
      `${plural(view.instances, 'running instance')} ${view.instances === 1 ? 'consumes' : 'consume'} the queue.`,
    );
  if (alsoIn.length > 0)
    out.note(`an event is sent to all its listeners again: ${alsoIn.join(', ')} will receive it again too.`);
}

async function report({ out }: Desk, verb: Verb, chosen: Chosen, touched: readonly ChosenMessage[]): Promise<Exit> {
  const did = new Set(touched);
  const past = verb === 'drop' ? 'dropped' : 'replayed';
  if (out.forPeople) out.line(`${past} ${touched.length} of ${chosen.messages.length}`);
  else {
    const state = (message: ChosenMessage): string => (did.has(message) ? past : 'still parked');
    const columns = [
      { name: 'ID', show: ({ id }: ChosenMessage) => id },
      { name: 'STATE', show: state },
      { name: 'REASON', show: ({ reason }: ChosenMessage) => reason },
    ];
    const json = (message: ChosenMessage): unknown => ({
      id: message.id,
      queue: chosen.queue,
      entry: message.entry,
      reason: message.reason,
      state: state(message),
    });
    await out.list({ columns, json }, chosen.messages);
  }
  return exits.done;
}

/** Prints the number of finished messages, and the command that continues with the rest. */
function leftOver(
  out: Desk['out'],
  verb: Verb,
  { queue, messages }: Chosen,
  touched: readonly ChosenMessage[],
  ids: readonly string[],
  { reasonLike, key, entry, from, since, rate, max }: RepairOptions,
): void {
  const did = new Set(touched);
  const left = messages.filter((message) => !did.has(message));
  const words = ['busbar', verb, queue];
  if (ids.length > 0) words.push(...left.map(({ id }) => id));
  else words.push(...(reasonLike === undefined ? ['--all'] : ['--reason-like', reasonLike]));
  for (const [name, value] of Object.entries({ key, entry, from, since, rate, max })) {
    if (value !== undefined) words.push(`--${name}`, value);
  }
  out.note(`${touched.length} of ${messages.length} are done, ${left.length} are still parked; to continue:`);
  out.next(words.map(quoted).join(' '));
}

function quoted(word: string): string {
  return /^[\w@%+=:,./#-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * Writes the chosen messages to a file, one line each, and flushes it to disk. A drop must not begin before, or a crash
 * could lose the messages.
 */
async function exportAll({ parts, signal }: Desk, chosen: Chosen, file: string, reason?: string): Promise<void> {
  const { readChosen } = await import('../../inspect');
  const plain = plainMessage({ bytes: 'hex', shown: true });
  const handle = await open(file, 'wx', 0o600).catch((error: unknown) => {
    throw new Usage(`nothing was dropped: ${file} cannot be created: ${errorMessage(error)}`);
  });
  try {
    for await (const { view, record } of readChosen(parts, chosen)) {
      if (signal.aborted) throw new Usage(`stopped: nothing was dropped, ${file} is not complete`);
      const { headers, key, value } = record;
      const bytes = { headers, parkedKey: base64(key), value: base64(value) };
      // The cast is safe: the view of a parked message is a message with additional fields.
      const about = plain(view) as object;
      await handle.write(
        `${toJson({ ...about, ...(reason !== undefined && { droppedFor: reason }), ...bytes }, 'hex')}\n`,
      );
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString('base64');
}
