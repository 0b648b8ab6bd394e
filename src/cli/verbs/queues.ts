/** Implements `busbar queues`, which counts the waiting messages of each queue. */
import { byNames, type By, type QueueKind, type QueueView } from '../../inspect';
import { exits, Usage, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { age, clockTime, count, none, size } from '../words';

const number = (name: string, of: (queue: QueueView) => number): Column<QueueView> => ({
  name,
  right: true,
  show: (queue) => count(of(queue)),
  plain: (queue) => String(of(queue)),
});

const rate = (name: string, of: (queue: QueueView) => number | null): Column<QueueView> => ({
  name,
  right: true,
  spare: 3,
  show: (queue) => of(queue)?.toFixed(1) ?? none,
});

const columns: readonly Column<QueueView>[] = [
  { name: 'QUEUE', show: ({ queue }) => queue },
  { name: 'STATE', show: ({ state }) => state },
  {
    name: 'WAITING',
    right: true,
    show: (queue) => countWaiting(queue),
    plain: ({ waiting }) => String(waiting),
  },
  { ...number('RUNNING', ({ running }) => running), show: busyOf },
  { ...number('AGAIN', ({ inBackoff }) => inBackoff), spare: 1 },
  { name: 'OLDEST', right: true, show: ({ oldestMs }) => age(oldestMs) },
  rate('IN/s', ({ inPerSecond }) => inPerSecond),
  rate('OUT/s', ({ outPerSecond }) => outPerSecond),
  { name: 'EMPTY IN', right: true, spare: 3, show: emptyIn },
  number('PARKED', ({ parked }) => parked),
  number('INSTANCES', ({ instances }) => instances),
  { name: 'LISTENS TO', cut: true, spare: 2, show: ({ listensTo }) => listensTo.join(', ') || none },
];

export interface QueuesOptions {
  readonly by?: string;
}

export async function queues(desk: Desk, names: readonly string[], { by }: QueuesOptions = {}): Promise<Exit> {
  if (by !== undefined) return queuesBy(desk, names, by);
  const { inspector, out, nowMs } = desk;
  const found = await inspector.queues(names);
  const listed = columns.filter(({ name }) => name !== 'LISTENS TO' || found.some((one) => one.listensTo.length > 0));
  await out.list({ columns: listed }, found);
  if (found.length === 0) out.note('there are no queues');
  else if (out.forPeople) {
    const unsure = [...new Set(found.filter(({ exact }) => !exact).map(describeUnsure))];
    const precision = unsure.length > 0 ? unsure.join(', ') : 'is exact: counted to the end of each log';
    out.note(`WAITING ${precision} at ${clockTime(nowMs())}.`);
    for (const { queue, blocked } of found) if (blocked > 0) out.note(describeBlocked(queue, blocked));
  }
  return found.length > 0 ? exits.done : exits.warning;
}

/** Formats the running handlers and their limit, such as `4/12`. */
function busyOf({ running, limit }: QueueView): string {
  return limit === null ? count(running) : `${count(running)}/${count(limit)}`;
}
function emptyIn({ waiting, emptyInMs, inPerSecond }: QueueView): string {
  if (waiting === 0 || inPerSecond === null) return none;
  return emptyInMs === null ? 'never' : age(emptyInMs);
}

/** Formats an exact count as `12`, an estimate as `~12 345`, and a lower bound as `1 000+`. */
function countWaiting({ waiting, exact, about }: QueueView): string {
  if (exact) return count(waiting);
  return about ? `~${count(waiting)}` : `${count(waiting)}+`;
}
function describeBlocked(queue: string, blocked: number): string {
  const many = blocked === 1 ? '1 of them' : `${count(blocked)} of them at most`;
  const why = 'cannot be read before an open transaction of another producer ends';
  return `${queue}: ${many} ${why}; busbar status names it.`;
}
function describeUnsure({ about }: QueueView): string {
  return about ? 'with a ~ is by the offsets of the log' : 'with a + is what was counted before the limit';
}

/** Interval between two lines about the progress of a count, in ms. */
const progressMs = 2_000;

async function queuesBy(
  { inspector, out, signal, nowMs }: Desk,
  names: readonly string[],
  given: string,
): Promise<Exit> {
  const by = byNames.find((name) => name === given);
  if (!by) throw new Usage(`--by ${given} is not one of ${byNames.join(', ')}`);
  const [name, ...more] = names;
  if (name === undefined || more.length > 0) throw new Usage('--by counts the messages of one queue; name it');
  let reportedMs = nowMs();
  const progress = (read: number, of: number): void => {
    if (nowMs() - reportedMs < progressMs) return;
    reportedMs = nowMs();
    out.note(`counted ${count(read)} of ${count(of)}`);
  };
  const found = await inspector.queueBy(name, by, { signal, progress });
  await out.list({ columns: kindColumns(by) }, found.kinds);
  if (found.others > 0) out.note(`${count(found.others)} messages are of further kinds`);
  if (found.kinds.length === 0) out.note('no message waits or runs');
  else if (out.forPeople) {
    const precision = found.exact ? 'is exact: counted to the end of each log' : 'leaves out what cannot be read';
    out.note(`WAITING ${precision} at ${clockTime(nowMs())}.`);
  }
  return found.kinds.length > 0 ? exits.done : exits.warning;
}

function kindColumns(by: By): readonly Column<QueueKind>[] {
  return [
    { name: by.toUpperCase(), cut: true, show: ({ kind }) => kind || none },
    { name: 'WAITING', right: true, show: ({ waiting }) => count(waiting), plain: ({ waiting }) => String(waiting) },
    { name: 'RUNNING', right: true, show: ({ running }) => count(running), plain: ({ running }) => String(running) },
    { name: 'OLDEST', right: true, show: ({ oldestMs }) => age(oldestMs) },
    { name: 'SIZE', right: true, spare: 1, show: ({ bytes }) => size(bytes), plain: ({ bytes }) => String(bytes) },
    { name: 'FIRST', spare: 2, show: ({ first }) => first },
  ];
}
