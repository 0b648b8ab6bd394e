/** Implements `busbar pending`, which lists the requests without a reply: the caller, the responder, and the state. */
import type { PendingView } from '../../inspect';
import { duration } from '../args';
import { exits, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { age, none, shortIds } from '../words';
import { reportLeft, type OlderOptions } from './running';

export async function pending(desk: Desk, name: string | undefined, { older }: OlderOptions): Promise<Exit> {
  const { inspector, out } = desk;
  const filter = older === undefined ? {} : { olderMs: duration('--older', older) };
  const { items, left, silent } = await inspector.pending(name, filter);
  await out.list({ columns: columns(items) }, items);
  reportLeft(desk, left, silent);
  if (items.length === 0) out.note(older === undefined ? 'no request waits' : `no request has waited for ${older}`);
  if (silent.length > 0) return exits.failed;
  return items.length > 0 ? exits.done : exits.warning;
}

function columns(all: readonly PendingView[]): readonly Column<PendingView>[] {
  const short = shortIds(all.flatMap(({ id, behind, cause }) => [id, behind ?? id, cause ?? id]));
  const nameOf = (id: string): string => short.get(id) ?? id;
  return [
    { name: 'ID', show: ({ id }) => nameOf(id), plain: ({ id }) => id },
    { name: 'REQUEST', show: ({ entry }) => entry },
    { name: 'FROM', show: ({ from }) => from },
    { name: 'TO', show: ({ to }) => to ?? none },
    { name: 'WAITS', right: true, show: ({ forMs }) => age(forMs) },
    { name: 'UNTIL', right: true, show: ({ leftMs }) => (leftMs === null ? none : `in ${age(leftMs)}`) },
    {
      name: 'CAUSE',
      spare: 1,
      show: ({ cause }) => (cause === null ? none : nameOf(cause)),
      plain: ({ cause }) => cause ?? none,
    },
    { name: 'IT', cut: true, show: (one) => stateText(one, nameOf), plain: (one) => stateText(one, (id) => id) },
  ];
}

function stateText(one: PendingView, nameOf: (id: string) => string): string {
  const { state, entry, to, runsForMs, note, behind, concurrency, refusal } = one;
  const [module = ''] = entry.split('.');
  switch (state) {
    case 'running':
      return `runs there for ${age(runsForMs)}${note ? `: ${note}` : ''}`;
    case 'waiting': {
      if (concurrency === 0) return 'waits there: the entry is paused';
      return behind === null ? 'waits there' : `waits there, behind ${nameOf(behind)} (concurrency ${concurrency})`;
    }
    case 'no instance':
      return `no instance of ${module} takes it${refusal === null ? '' : `: ${refusal}`}`;
    case 'unknown':
      return `${to ?? '?'} does not respond`;
    case 'sent':
      return 'is on its way there or back';
  }
}
