/** Judges fault rounds by the guarantees, and prints them as a table. */
import type { Report } from './faultreport';

/** `commitMs` of the workers, and the time of a commit on a busy machine. */
const uncommittedMsMax = 500 + 1_000;

/** The state of a topic is polled every minute, so its recovery can be reported after the end of a round. */
const lookedAtSeldom = /^\S+ topic /;
/** Requests, replies and broadcasts that could not be delivered in time; their senders have an error. */
const nowOrNever = / dropped (?:packet|reply|request|broadcast)/;

/** Returns the violations of the guarantees in a round. */
export function brokenIn(report: Report): readonly string[] {
  const counts: Readonly<Record<string, number>> = {
    'never handled': report.unhandled.length,
    'unread for 10 s': report.unread.length,
    'repeated by the same process': report.repeatedBySame.length,
    'repeated though its process lives': report.repeatedByOther.length,
    'out of order': report.orderBroken.length,
    'requests failed when all was well again': report.lateRequests.length,
    'broadcasts received twice': report.broadcastsRepeated,
    'parts still reported as bad': report.badStates.filter((part) => !lookedAtSeldom.test(part)).length,
    'messages of a queue dropped, or errors': report.faults.filter((fault) => !nowOrNever.test(fault)).length,
    'jobs refused': Object.values(report.refused).reduce((sum, count) => sum + count, 0),
  };
  const broken = Object.entries(counts).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []));
  if (report.oldestRepeatMs > uncommittedMsMax) {
    broken.push(`repeated ${report.oldestRepeatMs} ms after its end, which should have been committed`);
  }
  return broken;
}

export interface Played {
  readonly profile: string;
  readonly fault: string;
  readonly report: Report;
}

const columns: readonly (readonly [title: string, of: (reports: readonly Report[]) => string])[] = [
  ['rounds', (all) => `${all.length}`],
  ['jobs accepted', (all) => `${sum(all, ({ accepted }) => accepted)}`],
  ['unknown', (all) => `${sum(all, ({ unknown }) => unknown)}`],
  ['lost', (all) => `${sum(all, ({ unhandled }) => unhandled.length)}`],
  ['unread 10 s', (all) => `${sum(all, ({ unread }) => unread.length)}`],
  ['10 s late', (all) => `${sum(all, ({ late }) => late.length)}`],
  ['longest wait', (all) => `${(Math.max(...all.map(({ longestWaitMs }) => longestWaitMs)) / 1_000).toFixed(1)} s`],
  ['same process', (all) => `${sum(all, ({ repeatedBySame }) => repeatedBySame.length)}`],
  ['other, lives', (all) => `${sum(all, ({ repeatedByOther }) => repeatedByOther.length)}`],
  ['after death', (all) => `${sum(all, (one) => one.repeatedAfterDeath.length + one.repeatedAfterStop.length)}`],
  ['settled before', (all) => `${Math.max(...all.map(({ oldestRepeatMs }) => oldestRepeatMs))} ms`],
  ['cut off', (all) => `${sum(all, ({ begunAgain }) => begunAgain)}`],
  ['stalled', (all) => `${(Math.max(...all.map(({ stalledMs }) => stalledMs)) / 1_000).toFixed(1)} s`],
  ['order', (all) => `${sum(all, ({ orderBroken }) => orderBroken.length)}`],
  ['broken', (all) => `${all.filter((one) => brokenIn(one).length > 0).length}`],
];

/** Prints a line for each profile and fault. Repeats are counted by the process that handled the job first. */
export function tableOf(played: readonly Played[]): string {
  const rows = new Map<string, Report[]>();
  for (const { profile, fault, report } of played) {
    const name = `${profile} ${fault}`;
    rows.set(name, [...(rows.get(name) ?? []), report]);
  }
  const cells = [
    ['profile and fault', ...columns.map(([title]) => title)],
    ...[...rows].map(([name, reports]) => [name, ...columns.map(([, of]) => of(reports))]),
  ];
  const widths = cells[0]?.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0))) ?? [];
  return cells
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function sum(reports: readonly Report[], of: (report: Report) => number): number {
  return reports.reduce((total, report) => total + of(report), 0);
}
