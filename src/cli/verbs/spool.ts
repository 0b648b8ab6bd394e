/** Implements `busbar spool`, which lists what waits in the spool of a machine, and repairs what is parked in it. */
import { open } from 'node:fs/promises';
import type { SpoolParked, SpoolRepair, SpoolSelection, SpoolTopic, SpoolView } from '../../inspect';
import { errorMessage } from '../../base/errors';
import { exits, Usage, type Exit } from '../exit';
import { toJson } from '../json';
import type { Column } from '../output';
import type { LocalDesk } from '../run';
import { age, count, none, oneLine, plural, shortIds, size } from '../words';

export interface SpoolOptions {
  readonly dir?: string;
}
export interface SpoolRepairOptions extends SpoolOptions {
  readonly all?: boolean;
  readonly topic?: string;
  readonly reasonLike?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}
export interface SpoolDropOptions extends SpoolRepairOptions {
  readonly export?: string;
}

const waitingColumns: readonly Column<SpoolTopic>[] = [
  { name: 'TOPIC', show: ({ topic }) => topic },
  { name: 'WAITING', right: true, show: ({ messages }) => count(messages) },
  { name: 'BYTES', right: true, show: ({ bytes }) => size(bytes) },
  { name: 'OLDEST', right: true, show: ({ oldestMs }) => age(oldestMs) },
];

/** A line for scripts: a topic with waiting messages, or a parked message. */
type Row = SpoolTopic | SpoolParked;
const isParked = (row: Row): row is SpoolParked => 'reason' in row;

export async function spool({ out, nowMs }: LocalDesk, { dir }: SpoolOptions): Promise<Exit> {
  const { spool: read } = await import('../../inspect');
  const found = await read(dir);
  const { waiting, parked } = found;
  if (out.form === 'json' || out.form === 'jsonl') out.value(found);
  else if (out.form === 'lines') await out.list({ columns: scripted(nowMs()) }, [...waiting, ...parked]);
  else await report(out, found, nowMs());
  return parked.length > 0 ? exits.warning : exits.done;
}

function scripted(nowMs: number): readonly Column<Row>[] {
  return [
    { name: 'STATE', show: (row) => (isParked(row) ? 'parked' : 'waiting') },
    { name: 'TOPIC', show: ({ topic }) => topic },
    { name: 'MESSAGES', show: (row) => (isParked(row) ? '1' : String(row.messages)) },
    { name: 'BYTES', show: ({ bytes }) => String(bytes) },
    { name: 'AGE', show: (row) => age(isParked(row) ? nowMs - row.parkedAtMs : row.oldestMs) },
    { name: 'ID', show: (row) => (isParked(row) ? row.id : none) },
    { name: 'ENTRY', show: (row) => (isParked(row) && row.entry !== '' ? row.entry : none) },
    { name: 'REASON', show: (row) => (isParked(row) ? row.reason : none) },
  ];
}

async function report(out: LocalDesk['out'], { dir, ns, waiting, parked }: SpoolView, nowMs: number): Promise<void> {
  if (waiting.length > 0) await out.list({ columns: waitingColumns }, waiting);
  else out.line(`nothing waits in ${oneLine(dir)} (${oneLine(ns)})`);
  if (parked.length === 0) return;
  out.line('');
  await out.list({ columns: parkedColumns(parked, nowMs) }, parked);
  out.note('the brokers refused these messages. After the cause is removed, send them again:');
  out.next('busbar spool replay --all');
}
function parkedColumns(parked: readonly SpoolParked[], nowMs: number): readonly Column<SpoolParked>[] {
  const short = shortIds(parked.map(({ id }) => id));
  return [
    { name: 'PARKED', show: ({ id }) => short.get(id) ?? id },
    { name: 'ENTRY', show: ({ entry }) => entry || none },
    { name: 'TOPIC', show: ({ topic }) => topic },
    { name: 'AGE', right: true, show: ({ parkedAtMs }) => age(nowMs - parkedAtMs) },
    { name: 'BYTES', right: true, spare: 1, show: ({ bytes }) => size(bytes) },
    { name: 'REASON', cut: true, show: ({ reason }) => reason },
  ];
}

export async function replaySpool(desk: LocalDesk, ids: readonly string[], options: SpoolRepairOptions): Promise<Exit> {
  return repair(desk, 'replay', ids, options, (spool, which, done) => {
    return spool.replay(which, { signal: desk.signal, done });
  });
}

export async function dropSpool(desk: LocalDesk, ids: readonly string[], options: SpoolDropOptions): Promise<Exit> {
  return repair(desk, 'drop', ids, options, async (spool, which, done) => {
    const file = options.export ?? `dropped-${new Date(desk.nowMs()).toISOString().replace(/[:.]/g, '-')}.jsonl`;
    await exportAll(desk, spool, which, file);
    desk.out.note(`all of them are in ${file}`);
    await spool.drop(which, { signal: desk.signal, done });
  });
}

async function repair(
  desk: LocalDesk,
  verb: 'replay' | 'drop',
  ids: readonly string[],
  options: SpoolRepairOptions,
  run: (spool: SpoolRepair, which: SpoolSelection, done: (message: SpoolParked) => void) => Promise<void>,
): Promise<Exit> {
  const { out, signal } = desk;
  const matches = selectionOf(ids, options);
  const { openSpoolRepair, spool: read } = await import('../../inspect');
  const { parked, dir } = await read(options.dir);
  const chosen = parked.filter(matches);
  checkIds(ids, chosen);
  if (chosen.length === 0) {
    out.note('no message that is parked in the spool matches');
    return exits.warning;
  }
  announce(desk, verb, chosen);
  if (options.dryRun) {
    out.note('dry run: nothing was changed');
    return exits.done;
  }
  if (!(await desk.confirm('continue?'))) {
    out.note('nothing was changed');
    return signal.aborted ? exits.interrupted : exits.warning;
  }
  const done: SpoolParked[] = [];
  const spool = await openSpoolRepair(dir);
  try {
    // A message that was parked after the preview is not changed.
    const places = new Set(chosen.map(placeOf));
    const isChosen = (message: SpoolParked): boolean => places.has(placeOf(message));
    await run(spool, isChosen, (one) => void done.push(one));
  } finally {
    await spool.close();
    const past = verb === 'drop' ? 'dropped' : 'replayed';
    if (out.forPeople) out.line(`${past} ${done.length} of ${chosen.length}`);
    else await out.list({ columns: [{ name: past.toUpperCase(), show: ({ id }: SpoolParked) => id }] }, done);
  }
  if (done.length === chosen.length) return exits.done;
  return signal.aborted ? exits.interrupted : exits.failed;
}

function placeOf({ topic, partition, offset }: SpoolParked): string {
  return `${topic}/${partition}/${offset}`;
}

function selectionOf(ids: readonly string[], { all, topic, reasonLike }: SpoolRepairOptions): SpoolSelection {
  if ((ids.length > 0 ? 1 : 0) + (all ? 1 : 0) + (reasonLike === undefined ? 0 : 1) !== 1)
    throw new Usage('name the messages with ids, --reason-like TEXT or --all');
  const like = reasonLike?.toLowerCase();
  return (message) => {
    if (topic !== undefined && message.topic !== topic) return false;
    if (like !== undefined && !message.reason.toLowerCase().includes(like)) return false;
    return ids.length === 0 || ids.some((start) => message.id.startsWith(start));
  };
}

/** Throws Usage for the beginning of several ids, and of none. */
function checkIds(ids: readonly string[], chosen: readonly SpoolParked[]): void {
  for (const start of ids) {
    const meant = new Set(chosen.map(({ id }) => id).filter((id) => id.startsWith(start)));
    if (meant.size > 1 && !meant.has(start))
      throw new Usage(`${meant.size} ids of parked messages begin with ${oneLine(start)}. Type more characters`);
    if (meant.size === 0) throw new Usage(`no message whose id begins with ${oneLine(start)} is parked in the spool`);
  }
}

const reasonsShown = 5;

function announce({ out }: LocalDesk, verb: 'replay' | 'drop', chosen: readonly SpoolParked[]): void {
  const many = plural(chosen.length, 'message');
  const topics = [...new Set(chosen.map(({ topic }) => topic))].join(', ');
  if (verb === 'drop') out.note(`${many} for ${topics} will be deleted from the spool.`);
  else out.note(`${many} will be sent to ${topics} again, after those that wait, with their ids.`);
  const reasons = [...new Set(chosen.map(({ reason }) => reason))];
  for (const reason of reasons.slice(0, reasonsShown)) out.note(oneLine(`  ${reason}`));
  if (reasons.length > reasonsShown) out.note(`  and ${reasons.length - reasonsShown} other reasons`);
}

/** Writes the messages to a file and flushes it to disk. A drop must not begin before, or a crash could lose them. */
async function exportAll(
  { signal }: LocalDesk,
  spool: SpoolRepair,
  which: SpoolSelection,
  file: string,
): Promise<void> {
  const handle = await open(file, 'wx', 0o600).catch((error: unknown) => {
    throw new Usage(`nothing was dropped: ${file} cannot be created: ${errorMessage(error)}`);
  });
  try {
    for await (const message of spool.read(which)) {
      if (signal.aborted) throw new Usage(`stopped: nothing was dropped, ${file} is not complete`);
      await handle.write(`${toJson(message, 'hex')}\n`);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}
