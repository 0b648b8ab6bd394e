/** Implements `busbar parked`, which lists parked messages grouped by reason or one by one. */
import type { ParkedView } from '../../inspect';
import { exits, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { matching } from '../where';
import { age, count, none, shortIds } from '../words';
import { bodyText, plainMessage, type Bodies } from './body';
import { filterOf } from './filter';
import type { PeekOptions } from './peek';

export interface ParkedOptions extends PeekOptions {
  readonly each?: boolean;
}

/** Messages that were parked for the same reason. */
interface Group {
  readonly queue: string;
  readonly reason: string;
  readonly stub: boolean;
  count: number;
  firstMs: number;
  newestMs: number;
  readonly senders: Set<string>;
  example: string;
}
const groupsMax = 1_000;
const shownDefault = 20;

export async function parked(desk: Desk, queue: string | undefined, options: ParkedOptions): Promise<Exit> {
  const { inspector, out, nowMs } = desk;
  const { most = shownDefault, ...filter } = filterOf(options, nowMs());
  const bodies: Bodies = { bytes: out.bytes, shown: options.body };
  const found = matching(inspector.parked(queue, filter), options.where, (text) => out.note(text));
  if (out.form === 'json' || out.form === 'jsonl') {
    const limit = options.number === undefined ? Infinity : most;
    const many = await out.list({ columns: [], json: plainMessage(bodies) }, first(found, limit));
    return many > 0 ? exits.done : exits.warning;
  }
  const many = options.each ? await eachOne(desk, found, most, bodies) : await byReason(desk, found);
  if (many > 0) return exits.done;
  out.note('nothing is parked');
  return exits.warning;
}

async function byReason({ out, nowMs }: Desk, found: AsyncIterable<ParkedView>): Promise<number> {
  const groups = new Map<string, Group>();
  const ids: string[] = [];
  let left = 0;
  for await (const message of found) {
    if (!add(groups, message)) left++;
    if (ids.length < idsMax) ids.push(message.id);
  }
  const short = shortIds(ids);
  const all = [...groups.values()].toSorted((one, other) => other.count - one.count);
  const now = nowMs();
  const columns: readonly Column<Group>[] = [
    { name: 'QUEUE', show: ({ queue }) => queue },
    { name: 'COUNT', right: true, show: (group) => count(group.count), plain: (group) => String(group.count) },
    { name: 'FIRST', right: true, spare: 2, show: ({ firstMs }) => age(now - firstMs) },
    { name: 'NEWEST', right: true, show: ({ newestMs }) => age(now - newestMs) },
    { name: 'SENT BY', spare: 1, show: ({ senders }) => [...senders].slice(0, sendersShown).join(', ') || none },
    { name: 'REASON', cut: true, show: ({ reason, stub }) => (stub ? `${reason} (only stubs are parked)` : reason) },
    {
      name: 'EXAMPLE',
      show: ({ example }) => `busbar show ${short.get(example) ?? example}`,
      plain: ({ example }) => `busbar show ${example}`,
    },
  ];
  await out.list({ columns }, all);
  if (left > 0) out.note(`${left} more have other reasons; --each lists each message`);
  return all.length;
}
const sendersShown = 3;
/**
 * Maximum number of ids that are compared in order to shorten them, which bounds memory. Further ids are shown in full.
 */
const idsMax = 100_000;

/** Adds a message to its group. Returns false when that would exceed the maximum number of groups. */
function add(groups: Map<string, Group>, { queue, reason, from, id, parkedAtMs, ...more }: ParkedView): boolean {
  const stub = more.stub !== null;
  // Numbers and ids in a reason differ between messages, so they are replaced to group equal reasons.
  const key = `${queue} ${stub} ${reason.replace(/[0-9a-f]{8,}|\d+/gi, '#')}`;
  const senders = new Set<string>();
  const group: Group = groups.get(key) ?? {
    queue,
    reason,
    stub,
    count: 0,
    firstMs: parkedAtMs,
    newestMs: parkedAtMs,
    senders,
    example: id,
  };
  if (group.count === 0 && groups.size >= groupsMax) return false;
  groups.set(key, group);
  group.count++;
  group.firstMs = Math.min(group.firstMs, parkedAtMs);
  group.newestMs = Math.max(group.newestMs, parkedAtMs);
  group.example = id;
  const [module = ''] = from.split('#');
  if (module !== '') group.senders.add(module);
  return true;
}

async function eachOne(
  { out, nowMs }: Desk,
  found: AsyncIterable<ParkedView>,
  most: number,
  bodies: Bodies,
): Promise<number> {
  const list: ParkedView[] = [];
  for await (const message of first(found, most)) list.push(message);
  const short = shortIds(list.map(({ id }) => id));
  const now = nowMs();
  const columns: Column<ParkedView>[] = [
    { name: 'ID', show: ({ id }) => short.get(id) ?? id, plain: ({ id }) => id },
    { name: 'QUEUE', spare: 4, show: ({ queue }) => queue },
    { name: 'ENTRY', spare: 3, show: ({ entry }) => entry || none },
    { name: 'KEY', show: ({ key }) => key ?? none },
    { name: 'PARKED', right: true, show: ({ parkedAtMs }) => age(now - parkedAtMs) },
    { name: 'TRIED', right: true, spare: 2, show: ({ attemptCount }) => String(attemptCount) },
    { name: 'REASON', cut: true, show: ({ reason, stub }) => (stub ? `${reason} (only a stub is parked)` : reason) },
  ];
  if (bodies.shown) columns.push({ name: 'BODY', cut: true, spare: 1, show: (message) => bodyText(message, bodies) });
  const many = await out.list({ columns }, list);
  if (many === most) out.note(`the oldest ${most}; more with -n`);
  return many;
}

async function* first<T>(things: AsyncIterable<T>, most: number): AsyncGenerator<T> {
  let taken = 0;
  for await (const thing of things) {
    yield thing;
    if (++taken >= most) return;
  }
}
