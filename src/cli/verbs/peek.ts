/** Implements `busbar peek`, which lists the waiting messages of a queue in the order in which they will be handled. */
import type { WaitingView } from '../../inspect';
import { exits, type Exit } from '../exit';
import type { Column } from '../output';
import { matching } from '../where';
import type { Desk } from '../run';
import { age, count, none, shortIds, size } from '../words';
import { bodyText, plainMessage, type Bodies } from './body';
import { filterOf, type Filters } from './filter';

export interface PeekOptions extends Filters {
  readonly body: boolean;
  readonly newest?: boolean;
}
const shownDefault = 20;

export async function peek(desk: Desk, queue: string, options: PeekOptions): Promise<Exit> {
  const { inspector, out, nowMs } = desk;
  const { most = shownDefault, ...filter } = filterOf(options, nowMs());
  const bodies: Bodies = { bytes: out.bytes, shown: options.body };
  if (out.forPeople) await head(desk, queue);
  const found: WaitingView[] = [];
  let failed: unknown;
  try {
    const newest = options.newest ?? false;
    const all = inspector.peek(queue, { ...filter, newest });
    for await (const message of matching(all, options.where, (text) => out.note(text))) {
      found.push(message);
      if (found.length >= most) break;
    }
  } catch (error) {
    if (found.length === 0) throw error;
    failed = error; // the messages until then are printed before the error is thrown
  }
  await out.list({ columns: columns(found, bodies, nowMs()), json: plainMessage(bodies) }, found);
  if (failed !== undefined) throw failed;
  if (found.length === 0) out.note('nothing matches');
  else if (found.length === most) out.note(`the ${options.newest ? 'newest' : 'first'} ${most}; more with -n`);
  return found.length > 0 ? exits.done : exits.warning;
}

async function head({ inspector, out }: Desk, name: string): Promise<void> {
  for (const { queue, waiting, running, exact, about } of await inspector.queues([name])) {
    const many = exact ? count(waiting) : about ? `about ${count(waiting)}` : `${count(waiting)} or more`;
    out.note(`${queue}: ${many} waiting, ${running} running. Reading changes nothing.`);
  }
}

function columns(all: readonly WaitingView[], bodies: Bodies, nowMs: number): readonly Column<WaitingView>[] {
  const short = shortIds(all.map(({ id }) => id));
  const places = new Map(all.map(({ id }, i) => [id, `#${i + 1}`]));
  const nameOf = (id: string): string => places.get(id) ?? id;
  const shown: Column<WaitingView>[] = [
    { name: '#', right: true, show: (one) => String(all.indexOf(one) + 1) },
    { name: 'ID', show: ({ id }) => short.get(id) ?? id, plain: ({ id }) => id },
    { name: 'ENTRY', spare: 3, show: ({ entry }) => entry || none },
    { name: 'KEY', show: ({ key }) => key ?? none },
    { name: 'AGE', right: true, show: ({ timeMs }) => age(nowMs - timeMs) },
    { name: 'TRIED', right: true, spare: 1, show: ({ attempts }) => (attempts === 0 ? none : String(attempts)) },
    { name: 'FROM', spare: 2, show: ({ from }) => from || none },
    { name: 'SIZE', right: true, spare: 4, show: ({ bytes }) => size(bytes), plain: ({ bytes }) => String(bytes) },
    { name: 'IT', cut: true, show: (one) => doing(one, nameOf), plain: (one) => doing(one, (id) => id) },
  ];
  if (bodies.shown) shown.push({ name: 'BODY', cut: true, show: (one) => bodyText(one, bodies) });
  return shown;
}

function doing({ state, on, note, behind, fault, unserved }: WaitingView, nameOf: (id: string) => string): string {
  if (state === 'running') return `runs on ${on ?? '?'}${note ? `: ${note}` : ''}`;
  if (state === 'in backoff') return 'waits to be retried';
  if (unserved) return 'waits: no instance knows its entry';
  if (behind !== null) return `behind ${nameOf(behind)}`;
  return fault === null ? 'waits' : `cannot be decoded: ${fault}`;
}
