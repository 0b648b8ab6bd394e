/** Implements `busbar status`, which lists alarms by severity, each with the command to run next. */
import { sleep, systemClock } from '../../base/clock';
import type { Alarm, SystemStatus } from '../../inspect';
import { exits, type Exit } from '../exit';
import type { Listing } from '../output';
import type { Desk } from '../run';
import { beside, wrap } from '../table';
import { age, clockTime, oneLine, plural } from '../words';

const marks: Readonly<Record<Alarm['severity'], string>> = { critical: '✖', warning: '▲' };

const scripted: Listing<Alarm> = {
  columns: [
    { name: 'SEVERITY', show: ({ severity }) => severity },
    { name: 'ABOUT', show: ({ about }) => about },
    { name: 'WHAT', show: ({ what }) => what },
    { name: 'FOR', show: ({ forMs }) => age(forMs) },
    { name: 'MESSAGE', show: ({ message }) => message },
    { name: 'NEXT', show: ({ next }) => next },
  ],
};
/** Time after which a line on a terminal reports that the command is still reading, in ms. */
const firstLineMs = 250;

export async function status({ inspector, parts, out }: Desk): Promise<Exit> {
  const read = new AbortController();
  void sleep(systemClock, firstLineMs, read.signal).then(() => {
    if (!read.signal.aborted && out.forPeople) out.note(`reading the queues and instances of ${parts.ns} …`);
  });
  const found = await inspector.status().finally(() => read.abort());
  if (out.form === 'json' || out.form === 'jsonl') out.value(found);
  else if (out.form === 'lines') {
    await out.list(scripted, found.alarms);
    if (found.alarms.length === 0) out.note([headOf(found), ...restOf(found)].join('; '));
  } else report(out, found);
  return exitOf(found.alarms);
}

function report(out: Desk['out'], found: SystemStatus): void {
  const { alarms, atMs, tookMs } = found;
  const read = `${clockTime(atMs)}, read in ${(tookMs / 1000).toFixed(1)} s`;
  for (const line of wrap(`${headOf(found)}   ${read}`, out.width)) out.line(line);
  for (const line of alarmLines(alarms, out.width)) out.line(line);
  for (const line of restOf(found)) out.line(line);
}

function headOf({ ns, modules, instances }: SystemStatus): string {
  return `${ns}   ${plural(modules, 'module')}, ${plural(instances, 'instance')}`;
}

/** Returns summary lines for the queues without alarms. */
function restOf({ alarms, queues }: SystemStatus): readonly string[] {
  const lines: string[] = [];
  const fine = queues.filter((queue) => queue.state === 'caught up' && isFine(queue)).length;
  const moving = queues.filter((queue) => queue.state === 'working' && isFine(queue)).length;
  if (moving > 0) lines.push(`✔ ${plural(moving, 'queue')} at work`);
  const others = alarms.length > 0 ? 'other ' : '';
  if (fine > 0) lines.push(`✔ ${fine} ${others}${fine === 1 ? 'queue is' : 'queues are'} caught up`);
  else if (queues.length === 0) lines.push('✔ there are no queues');
  return lines;
}

/** Returns false for a queue with parked messages or paused entries, because it has an alarm. */
function isFine({ parked, paused }: SystemStatus['queues'][number]): boolean {
  return parked === 0 && paused.length === 0;
}

function exitOf(alarms: readonly Alarm[]): Exit {
  if (alarms.some(({ severity }) => severity === 'critical')) return exits.critical;
  return alarms.length > 0 ? exits.warning : exits.done;
}

/** Returns one line per alarm when every alarm fits the terminal uncut. Otherwise each alarm becomes a paragraph. */
function alarmLines(alarms: readonly Alarm[], width: number): readonly string[] {
  const rows = alarms.map(({ severity, what, about, forMs, message, next }) => {
    return [marks[severity], about, what, forMs === null ? '' : age(forMs), message, next];
  });
  const headings = Array.from({ length: 6 }, () => ({ name: '' }));
  const lines = beside(headings, rows, width);
  if (lines) return lines;
  return rows.flatMap(([mark = '', about = '', what = '', since = '', message = '', next = '']) => [
    ...wrap([mark, about, what, since].filter((word) => word !== '').join(' '), width),
    ...wrap(message, width - 2).map((line) => `  ${line}`),
    `  ${oneLine(next)}`, // not wrapped, so that it can be copied as one line
  ]);
}
