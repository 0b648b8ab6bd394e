/** Implements `busbar running`, which lists the handlers that run now, longest first. */
import type { RunningView } from '../../inspect';
import { duration } from '../args';
import { exits, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { age, none, plural, shortIds } from '../words';

export interface OlderOptions {
  readonly older?: string;
}

export async function running(desk: Desk, name: string | undefined, { older }: OlderOptions): Promise<Exit> {
  const { inspector, out } = desk;
  const filter = older === undefined ? {} : { olderMs: duration('--older', older) };
  const { items, left, silent } = await inspector.running(name, filter);
  await out.list({ columns: columns(items) }, items);
  reportLeft(desk, left, silent);
  const [first] = items;
  if (!first) {
    out.note(older === undefined ? 'no handler is running' : `no handler has been running for ${older}`);
    return silent.length > 0 ? exits.failed : exits.warning;
  }
  return silent.length > 0 ? exits.failed : exits.done;
}

/** Prints to stderr which part of the activity is missing in the list. */
export function reportLeft(
  { out }: Desk,
  left: number,
  silent: readonly { readonly instance: string; readonly reason: string }[],
): void {
  if (left > 0) out.note(`${plural(left, 'shorter one')} left out: an instance reports the longest ones only`);
  for (const { instance, reason } of silent) out.note(`${instance} is not included, it did not answer: ${reason}`);
}

function columns(all: readonly RunningView[]): readonly Column<RunningView>[] {
  const short = shortIds(all.map(({ id }) => id));
  return [
    { name: 'ID', show: ({ id }) => short.get(id) ?? id, plain: ({ id }) => id },
    { name: 'ENTRY', show: ({ entry }) => entry || none },
    { name: 'ON', show: ({ on }) => on },
    { name: 'TRY', right: true, show: tryText },
    { name: 'FOR', right: true, show: ({ forMs }) => age(forMs) },
    { name: 'KEY', spare: 1, cut: true, show: ({ key }) => key ?? none },
    { name: 'FROM', spare: 2, show: ({ from }) => from ?? none },
    { name: 'DEADLINE', spare: 1, show: ({ leftMs }) => (leftMs === null ? none : `in ${age(leftMs)}`) },
    { name: 'DOING', cut: true, show: ({ note }) => note || none },
  ];
}

function tryText({ attempt, attemptsMax }: RunningView): string {
  return attemptsMax === null ? String(attempt) : `${attempt}/${attemptsMax}`;
}
