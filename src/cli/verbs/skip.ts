/** Implements `busbar skip`, which parks messages that wait or run, so that later messages of their keys continue. */
import type { SkipPlan, SkippedMessage, SkipResult } from '../../inspect';
import { change, type ChangeOptions } from '../change';
import { exits, Usage, type Exit } from '../exit';
import type { Desk } from '../run';
import { none, oneLine, plural, shortIds } from '../words';
import { filterOf, type Filters } from './filter';

export interface SkipVerbOptions extends ChangeOptions, Filters {
  readonly all?: boolean;
}

const listedMax = 10;

export async function skip(desk: Desk, name: string, ids: readonly string[], options: SkipVerbOptions): Promise<Exit> {
  const { inspector, parts, out, signal, nowMs, operator } = desk;
  const { planSkip, skipMessages } = await import('../../inspect');
  if (ids.length > 0 === (options.all ?? false))
    throw new Usage('name the messages with ids, or with --all and filters');
  const { most, ...filter } = filterOf(options, nowMs());
  if (most !== undefined) throw new Usage('-n cannot be combined with a change');
  const { queue, filter: ofName } = await inspector.resolve(name);
  const plan = await planSkip(parts, queue, { ...filter, ...ofName, ...(ids.length > 0 && { ids }) });
  const { messages } = plan;
  if (messages.length === 0) {
    out.note(`no message that waits or runs in ${queue.queue} matches`);
    return exits.warning;
  }
  announce(desk, plan);
  const { reason = 'no reason given' } = options;
  const about = { verb: 'skip', about: queue.queue, ids: messages.map(({ id }) => id) };
  return change(desk, about, options, async () => {
    const why = `skipped by ${operator.user}@${operator.host}: ${reason}`;
    const results = await skipMessages(parts, plan, { signal, reason: why });
    return { count: results.filter(({ state }) => state === 'parked').length, exit: await report(desk, plan, results) };
  });
}

/** Prints the messages that the verb will park, before the operator confirms. */
function announce({ out }: Desk, { queue, messages, behind }: SkipPlan): void {
  const short = shortIds(messages.map(({ id }) => id));
  out.note(`${plural(messages.length, 'message')} of ${queue.queue} will be parked:`);
  for (const one of messages.slice(0, listedMax)) {
    const key = one.key === null ? '' : ` of key ${one.key}`;
    out.note(oneLine(`  ${short.get(one.id) ?? one.id}  ${one.entry || none}${key} ${stateText(one)}`));
  }
  if (messages.length > listedMax) out.note(`  and ${messages.length - listedMax} more`);
  if (behind > 0) out.note(`${plural(behind, 'message')} of the same key ${behind === 1 ? 'continues' : 'continue'}.`);
}

function stateText({ state, on }: SkippedMessage): string {
  if (state === 'running') return `runs on ${on ?? '?'}: its signal will be aborted`;
  const where = on === null ? 'at no instance' : `on ${on}`;
  return state === 'waiting' ? `waits ${where}` : `waits ${where} to be retried`;
}

async function report({ out }: Desk, { queue, messages }: SkipPlan, results: readonly SkipResult[]): Promise<Exit> {
  const byId = new Map(results.map(({ id, state }) => [id, state]));
  const columns = [
    { name: 'ID', show: ({ id }: SkippedMessage) => id },
    { name: 'STATE', show: ({ id }: SkippedMessage) => byId.get(id) ?? none },
  ];
  const json = ({ id, entry, key }: SkippedMessage) => ({ id, queue: queue.queue, entry, key, state: byId.get(id) });
  await out.list({ columns, json }, messages);
  const of = (state: SkipResult['state']): number => results.filter((one) => one.state === state).length;
  if (of('running') > 0) {
    const running = messages.filter(({ id }) => byId.get(id) === 'running');
    const where = [...new Set(running.map(({ on }) => on ?? '?'))].join(', ');
    const many = plural(running.length, 'handler');
    out.note(`${many} did not end after the abort, so the key still waits. Restart the instance to end it: ${where}`);
  }
  if (of('waiting') > 0)
    out.note(`${plural(of('waiting'), 'message')} will be parked later, when the instance has read them`);
  if (of('handled') > 0) out.note(`${plural(of('handled'), 'message')} ended before the skip`);
  if (of('parked') > 0) {
    out.note('to send them again, or to delete them:');
    const [first, ...others] = messages.filter(({ id }) => byId.get(id) === 'parked');
    const which = others.length > 0 ? '--reason-like skipped' : (first?.id ?? '');
    out.next(`busbar replay ${queue.queue} ${which}`);
    out.next(`busbar drop ${queue.queue} ${which}`);
  }
  return of('parked') + of('handled') === results.length ? exits.done : exits.failed;
}
