/** Reads and repairs the spool of a machine, and sends what waits in it. No process of the machine has to run. */
import {
  drainSpool as drain,
  openSpoolToRepair,
  readSpool,
  readSpoolRecords,
  spoolDirectory,
  type DrainOptions,
  type SpoolToRepair,
} from '../open-spool';
import type { Emptied } from '../spool/empty';
import { namesIn, viewOf, type SpoolContents, type SpoolParked } from '../spool/contents';

/** Contents of a spool, and its directory. */
export interface SpoolView extends SpoolContents {
  readonly dir: string;
}

/**
 * Returns what waits in the spool of this machine for the brokers, by topic, and what is parked in it. It needs no
 * brokers and no running process. It joins no group, moves nothing, and adds nothing to the directory.
 *
 * Rejects with Config if there is no spool at `dir`, or if it must not be used: it is on a network file system, another
 * pid namespace uses it, its files are damaged, or a newer version wrote it.
 *
 * @param dir The directory of the spool. Default: the option `spool` of the configuration of this process.
 *
 * @example
 * import { spool } from 'busbar/inspect';
 *
 * const { waiting, parked } = await spool('/var/lib/photos/spool');
 */
export async function spool(dir?: string): Promise<SpoolView> {
  const path = spoolDirectory(dir);
  return { dir: path, ...(await readSpool(path)) };
}

/** A message that waits in a spool, byte for byte. */
export interface SpoolMessage {
  /** The id of the message, or its place in the spool if it has none. */
  readonly id: string;
  /** The entry; empty if the message does not contain it. */
  readonly entry: string;
  /** The topic for which it waits. */
  readonly topic: string;
  readonly partition: number;
  /** Offset in the spool. */
  readonly offset: number;
  /** When it was accepted, in ms since 1970. */
  readonly acceptedAtMs: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Key and value in base64. */
  readonly key: string | null;
  readonly value: string | null;
}

/**
 * Yields the messages that wait in the spool of this machine, by topic and partition, in their order. Like
 * {@link spool}, it needs no brokers and no running process, and moves nothing: the messages stay in the spool, and are
 * sent when the brokers are back. It rejects as {@link spool} does.
 *
 * @param dir The directory of the spool. Default: the option `spool` of the configuration of this process.
 *
 * @example
 * import { spoolMessages } from 'busbar/inspect';
 *
 * for await (const message of spoolMessages()) console.log(JSON.stringify(message));
 */
export async function* spoolMessages(dir?: string): AsyncGenerator<SpoolMessage> {
  for await (const { topic, record } of readSpoolRecords(spoolDirectory(dir))) {
    const { partition, offset, timeMs: acceptedAtMs, headers } = record;
    const { id, entry } = namesIn(record, `${topic}/${partition}/${offset}`);
    const [key, value] = [base64(record.key), base64(record.value)];
    yield { id, entry, topic, partition, offset, acceptedAtMs, headers, key, value };
  }
}

/** Returns whether a parked message is meant. */
export type SpoolSelection = (message: SpoolParked) => boolean;

/** A message as it is parked in a spool, byte for byte. */
export interface SpoolExported extends SpoolParked {
  readonly headers: Readonly<Record<string, string>>;
  /** Key and value in base64. */
  readonly key: string | null;
  readonly value: string | null;
}
/** Options of {@link SpoolRepair.replay} and {@link SpoolRepair.drop}. */
export interface SpoolRepairOptions {
  /** Stops the call between two messages. */
  readonly signal: AbortSignal;
  /** Called for each message that is done. */
  readonly done?: (message: SpoolParked) => void;
}
/** An open spool whose parked messages can be changed. */
export interface SpoolRepair extends AsyncDisposable {
  /** Yields the selected messages, oldest first, with their bytes. */
  read(which: SpoolSelection): AsyncIterable<SpoolExported>;
  /**
   * Appends the selected messages to those that wait, and removes them from the parked ones. They keep their ids and
   * get new stamps, so that receivers do not drop them as copies. A message that was not reported as done is still
   * parked, and can have been sent. Rejects with DiskFull or SpoolBroken if the spool cannot be written.
   */
  replay(which: SpoolSelection, options: SpoolRepairOptions): Promise<void>;
  /** Removes the selected messages for good. It rejects as `replay` does. */
  drop(which: SpoolSelection, options: SpoolRepairOptions): Promise<void>;
  /** Closes the files. */
  close(): Promise<void>;
}

/** Opens an existing spool to replay or drop what is parked in it. Rejects as {@link spool} does. */
export async function openSpoolRepair(dir?: string): Promise<SpoolRepair> {
  const open = await openSpoolToRepair(spoolDirectory(dir));
  return {
    async *read(which) {
      for await (const found of open.parked()) {
        const view = viewOf(found);
        const { key, value, headers } = found.record.record;
        if (which(view)) yield { ...view, headers, key: base64(key), value: base64(value) };
      }
    },
    replay: (which, options) => each(open, which, options, (found) => open.replay(found)),
    drop: (which, options) => each(open, which, options, (found) => open.drop(found)),
    close: () => open.close(),
    [Symbol.asyncDispose]: () => open.close(),
  };
}

async function each(
  open: SpoolToRepair,
  which: SpoolSelection,
  { signal, done }: SpoolRepairOptions,
  run: (found: Parameters<SpoolToRepair['drop']>[0]) => Promise<void>,
): Promise<void> {
  for await (const found of open.parked()) {
    const view = viewOf(found);
    if (!which(view)) continue;
    if (signal.aborted) return;
    await run(found);
    done?.(view);
  }
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes).toString('base64');
}

/**
 * Sends what waits in an existing spool to the brokers of the configuration, together with the processes of the machine
 * if some are running. Resolves when what waited at the start was sent, when `signal` aborts, or when nothing was sent
 * for 30 s. The result has the number of messages that are left, and the reason.
 *
 * Rejects as {@link spool} does, with Config if the spool belongs to another namespace, and with Unreachable if no
 * broker accepts connections.
 */
export async function drainSpool(dir: string | undefined, options: DrainOptions): Promise<Emptied> {
  return drain(spoolDirectory(dir), options);
}
