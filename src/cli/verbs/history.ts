/** Implements `busbar history`, which lists everything that a log has of a queue, or the changes of operators. */
import type { AuditEntry, HistoryView } from '../../inspect';
import { since } from '../args';
import { exits, Usage, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { matching } from '../where';
import { age, none, shortIds, size, time } from '../words';
import { bodyText, plainMessage, type Bodies } from './body';
import { filterOf } from './filter';
import type { PeekOptions } from './peek';

export interface HistoryOptions extends PeekOptions {
  readonly audit?: boolean;
  readonly id?: string;
}

const shownDefault = 20;

export async function history(desk: Desk, name: string | undefined, options: HistoryOptions): Promise<Exit> {
  if (options.audit) return audit(desk, name, options);
  if (name === undefined) throw new Usage('name a queue, such as busbar history photos.work, or pass --audit');
  const { inspector, parts, out, nowMs } = desk;
  const { readHistory } = await import('../../inspect');
  const { most = shownDefault, ...filter } = filterOf(options, nowMs());
  const bodies: Bodies = { bytes: out.bytes, shown: options.body };
  const { queue, filter: ofName } = await inspector.resolve(name);
  const newest: HistoryView[] = [];
  let total = 0;
  const all = readHistory(parts, queue, { ...filter, ...ofName });
  for await (const message of matching(all, options.where, (text) => out.note(text))) {
    if (options.id !== undefined && !message.id.startsWith(options.id)) continue;
    total++;
    newest.push(message);
    if (newest.length > most) newest.shift();
  }
  const short = shortIds(newest.map(({ id }) => id));
  const columns: Column<HistoryView>[] = [
    { name: 'TIME', show: ({ timeMs }) => time(timeMs).slice(0, 19), plain: ({ timeMs }) => time(timeMs) },
    { name: 'ID', show: ({ id }) => short.get(id) ?? id, plain: ({ id }) => id },
    { name: 'ENTRY', spare: 2, show: ({ entry }) => entry || none },
    { name: 'KEY', show: ({ key }) => key ?? none },
    { name: 'FROM', spare: 3, show: ({ from }) => from || none },
    { name: 'SIZE', right: true, spare: 4, show: ({ bytes }) => size(bytes), plain: ({ bytes }) => String(bytes) },
    { name: 'STATE', cut: true, show: stateText },
  ];
  if (bodies.shown) columns.push({ name: 'BODY', cut: true, spare: 1, show: (message) => bodyText(message, bodies) });
  await out.list({ columns, json: plainMessage(bodies) }, newest);
  if (total === 0) out.note('nothing matches');
  else if (total > newest.length) out.note(`the newest ${newest.length} of ${total}; more with -n`);
  return total > 0 ? exits.done : exits.warning;
}

function stateText({ state, on, attempts, reason, repaired }: HistoryView): string {
  switch (state) {
    case 'running':
      return `runs on ${on ?? '?'}`;
    case 'parked':
      return `parked: ${reason ?? ''}`;
    case 'settled':
      return repaired ? `parked, then ${repaired.how} by ${repaired.by}` : 'settled';
    case 'in backoff':
      return `waits to be retried, attempt ${attempts + 1}`;
    case 'waiting':
      return 'waits';
  }
}

/** Lists the changes of operators, of all or of one queue, key or instance. */
async function audit({ parts, out, nowMs }: Desk, name: string | undefined, options: HistoryOptions): Promise<Exit> {
  const { readAudit } = await import('../../inspect');
  const fromMs = options.since === undefined ? 0 : since(options.since, nowMs());
  const { most = shownDefault } = filterOf(options, nowMs());
  const all = (await readAudit(parts)).filter(({ about, atMs, ids = [], id }) => {
    if (name !== undefined && about !== name && !about.startsWith(`${name}.`)) return false;
    const { id: wanted } = options;
    return atMs >= fromMs && (wanted === undefined || [id, ...ids].some((one) => one.startsWith(wanted)));
  });
  const columns: Column<AuditEntry>[] = [
    { name: 'TIME', show: ({ atMs }) => time(atMs).slice(0, 19), plain: ({ atMs }) => time(atMs) },
    { name: 'OPERATOR', show: ({ user, host }) => `${user}@${host}` },
    { name: 'VERB', show: ({ verb }) => verb },
    { name: 'ABOUT', show: ({ about }) => about },
    { name: 'MESSAGES', right: true, spare: 2, show: ({ ids }) => (ids ? String(ids.length) : none) },
    { name: 'RESULT', cut: true, show: (one) => endText(one, nowMs()) },
    { name: 'REASON', cut: true, show: ({ reason }) => reason ?? none },
  ];
  const shown = all.slice(-most);
  await out.list({ columns }, shown);
  if (all.length === 0) out.note('no change is recorded');
  else if (all.length > shown.length) out.note(`the newest ${shown.length} of ${all.length}; more with -n`);
  return all.length > 0 ? exits.done : exits.warning;
}

function endText({ end, atMs, details }: AuditEntry, nowMs: number): string {
  const what = Object.entries(details ?? {}).map(([key, value]) => `${key} ${String(value)}`);
  const how = !end
    ? `no end recorded, ${age(nowMs - atMs)} ago`
    : (end.error ?? (end.ok ? `done, ${end.count} changed` : `partly done, ${end.count} changed`));
  return [...what, how].join(', ');
}
