/** Opens the spool of this machine for an operator: to read it, to repair it, and to send what waits in it. */
import { resolve } from 'node:path';
import { randomHex, systemClock, systemRandom } from './base/clock';
import { closable, type Closable } from './base/lifecycle';
import { openNotices, type Notice } from './base/notices';
import { configError } from './base/options';
import { loadConfig } from './config';
import type { Emptied, EmptyOptions } from './spool/empty';
import type { Found, SpoolContents, Waiting } from './spool/contents';
import type { Replayer } from './spool/replay';

const around = { clock: systemClock, random: systemRandom };

/** Returns the directory of the spool as an absolute path: `dir`, or the option `spool`. Throws Config without both. */
export function spoolDirectory(dir: string | undefined): string {
  const found = dir ?? loadConfig().values.spool;
  if (found === undefined)
    throw configError(
      ['no directory of a spool is named: use --dir, or set the option spool (BUSBAR_SPOOL)'],
      'Name it with --dir, or set the option spool.',
    );
  return resolve(found);
}

/** Reads the contents of a spool. Rejects with Config if there is none at `dir`. Adds nothing to the directory. */
export async function readSpool(dir: string): Promise<SpoolContents> {
  const [{ openSpoolReader }, { readContents }] = await Promise.all([
    import('./embedded/open'),
    import('./spool/contents'),
  ]);
  const { ns, log } = await openSpoolReader(dir, { ...around, notices: openNotices() });
  try {
    return await readContents(log, ns, systemClock);
  } finally {
    await log.close();
  }
}

/** Yields the records that wait in a spool. Rejects as {@link readSpool} does, and adds nothing to the directory. */
export async function* readSpoolRecords(dir: string): AsyncGenerator<Waiting> {
  const [{ openSpoolReader }, { readWaiting }] = await Promise.all([
    import('./embedded/open'),
    import('./spool/contents'),
  ]);
  const { log } = await openSpoolReader(dir, { ...around, notices: openNotices() });
  try {
    yield* readWaiting(log);
  } finally {
    await log.close();
  }
}

/** An existing spool, open to change what is parked in it. */
export interface SpoolToRepair extends Replayer, Closable {
  readonly ns: string;
  /** Yields the parked records, oldest first. */
  parked(): AsyncIterable<Found>;
}
/** Opens an existing spool to change it. Rejects with Config if there is none at `dir`. */
export async function openSpoolToRepair(dir: string): Promise<SpoolToRepair> {
  const [{ namespaceOfSpool, openSpoolLog }, { findParked }, { spoolReplayer }] = await Promise.all([
    import('./embedded/open'),
    import('./spool/contents'),
    import('./spool/replay'),
  ]);
  const ns = namespaceOfSpool(dir);
  const open = await openSpoolLog({ ...around, notices: openNotices(), name: newName(), ns, dir });
  const replayer = spoolReplayer({ local: open.log, ...around });
  return { ns, parked: () => findParked(open.log, ns), ...replayer, ...closable(() => open.close()) };
}

/** Options of {@link drainSpool}. */
export interface DrainOptions extends EmptyOptions {
  /** Called with the address of a broker that does not respond at once. */
  readonly waiting?: (message: string) => void;
  /** Called with what the spool reports, such as damaged records that are skipped. */
  readonly onNotice?: (notice: Notice) => void;
}
/**
 * Sends what waits in an existing spool to the brokers that the configuration names, as `emptySpool` describes. Rejects
 * with Config if there is no spool at `dir`, or it belongs to another namespace, and with Unreachable if no broker
 * listens.
 */
export async function drainSpool(dir: string, options: DrainOptions): Promise<Emptied> {
  const { waiting = () => undefined, onNotice, ...rest } = options;
  const { values } = loadConfig();
  const { ns } = values;
  const [{ namespaceOfSpool, openSpoolLog }, { openBrokers }, { emptySpool }] = await Promise.all([
    import('./embedded/open'),
    import('./open-servers'),
    import('./spool/empty'),
  ]);
  namespaceOfSpool(dir); // rejects before anything is created
  const notices = openNotices();
  if (onNotice) notices.watch(onNotice);
  const parts = { ...around, notices, name: newName() };
  const local = await openSpoolLog({ ...parts, ns, dir });
  try {
    const brokers = await openBrokers(values, { ...parts, look: { waiting } });
    try {
      return await emptySpool({ ...parts, ns, log: brokers.log, local: local.log }, rest);
    } finally {
      await brokers.close();
    }
  } finally {
    await local.close();
  }
}

/** Name by which other processes know this one. */
function newName(): string {
  return `console#${randomHex(systemRandom, 24)}`;
}
