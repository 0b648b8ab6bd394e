/**
 * Implements the log between the processes of one machine: durable topics, groups and commits in shared files. The file
 * is long because every call of the port is checked and guarded here.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { every, randomHex, type Clock, type Random, type Timer } from '../base/clock';
import { BusError, isCode, errorMessage } from '../base/errors';
import { allEnded, closable, teardown } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Notice, Notices } from '../base/notices';
import { openStore, type Store, type StoreFault } from '../disk/lmdb';
import type { Append, GroupOptions, GroupStart, Log, Owner, Place, ReadMax, Tail, TailFrom, Topic } from '../ports/log';
import { Appender } from './store/append';
import { Groups } from './group/groups';
import { keyOf, kinds } from './store/keys';
import { Lease } from './group/lease';
import { checkLogFile, checkLogMark, keepLogMark } from './directory/log-marker';
import { keepLayout } from './store/layout';
import type { PeerProcesses } from './store/peer-processes';
import { stateBytesMax } from './group/owned-partition';
import { Reader } from './store/read';
import { openTail } from './store/tail';
import { Topics } from './store/topics';
import { Trimmer } from './store/trim';
import { Notifier } from './store/notifier';

/** Interval of the checks of the store files, the free disk space and the waiting writes. */
const pollMs = 1_000;

export interface EmbeddedLogParts {
  /** An existing directory of this user, mode 0700, on a disk of this machine. */
  readonly dir: string;
  /** Name of this instance, such as `photos#c41f`. */
  readonly self: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  readonly peers: PeerProcesses;
  /** See {@link Log.holdsUnread}. Default: `limits.heldEventBytesMax`. */
  readonly heldBytesMax?: number | undefined;
}

/**
 * Opens the log. Rejects with Config when the directory holds foreign files or a log of a newer version; nothing is
 * then changed.
 */
export async function openEmbeddedLog(parts: EmbeddedLogParts): Promise<Log> {
  const { dir, clock, notices } = parts;
  checkLogFile(dir);
  const onChange = reportState(notices, { part: 'store' });
  const log = await openStore(subdirectory(dir, 'log'), { clock, durable: true, onChange });
  let live: Store | undefined;
  try {
    await keepLayout(log);
    const id = await identityOf(log, parts.random);
    checkLogMark(dir, id);
    const boot = bootOf();
    removeOldLive(dir, boot, notices); // first, since the new files need the room of the old ones on a full disk
    const liveDir = subdirectory(dir, livePrefix + (boot ?? anyBoot));
    live = await openStore(liveDir, { clock, durable: false, onChange: reportState(notices, { part: 'leases' }) });
    return new EmbeddedLog(parts, log, live, id).port();
  } catch (error) {
    await live?.release();
    await log.release();
    throw error;
  }
}

function reportState(notices: Notices, of: Pick<Extract<Notice, { type: 'state' }>, 'part'>) {
  return (fault: StoreFault | undefined): void => {
    const { reason, final } = fault ?? { reason: 'it can be written and read again', final: false };
    notices.emit({ type: 'state', ...of, ok: fault === undefined, reason, ...(final && { final }) });
  };
}

function subdirectory(dir: string, name: string): string {
  const path = join(dir, name);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    readdirSync(path);
    return path;
  } catch (error) {
    const message = `${path} cannot be used as a folder: ${errorMessage(error)}. Remove it, or move it away.`;
    throw new BusError('Config', message, { faults: [message] }, error, `Remove ${path}, or move it away.`);
  }
}

/**
 * Prefix of the folder of live files, before the boot of the machine. A power cut can damage files that were not
 * synced, so each boot starts with a new folder.
 */
const livePrefix = 'live-';
/** Takes the place of the boot for a process that cannot determine it. */
const anyBoot = 'any';

/** Returns the id of this boot of the machine, or undefined if the machine does not show it. */
function bootOf(): string | undefined {
  const bootFile = '/proc/sys/kernel/random/boot_id';
  return existsSync(bootFile) ? readFileSync(bootFile, 'latin1').trim() : undefined;
}

/**
 * Removes the live folders of earlier boots, but none that a process can be using because it cannot determine the boot,
 * or because this process cannot. A folder that cannot be removed is reported, and does not prevent the start.
 */
function removeOldLive(dir: string, boot: string | undefined, notices: Notices): void {
  if (boot === undefined) return;
  for (const name of readdirSync(dir)) {
    if (!name.startsWith(livePrefix) || [boot, anyBoot].includes(name.slice(livePrefix.length))) continue;
    const folder = join(dir, name);
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      // Another process that starts at the same moment removes it too.
      if (isCode(error, 'ENOENT', 'ENOTEMPTY')) continue;
      const message = 'files of an earlier boot of the machine cannot be removed';
      notices.emit({ type: 'log', level: 'warn', message, fields: { folder, reason: errorMessage(error) } });
    }
  }
}

/** Returns the id of the log. A log of an older version has none, and gets one. */
async function identityOf(log: Store, random: Random): Promise<string> {
  const key = keyOf(kinds.identity, []);
  const read = (): string | undefined => {
    log.refresh();
    return log.entry(key)?.value.toString('latin1');
  };
  const found = read();
  if (found !== undefined) return found;
  const value = Buffer.from(randomHex(random, 64), 'latin1');
  // If another process wrote an id first, that one counts.
  await log.within(log.write({ key, version: null }, [{ key, value }]));
  return read() ?? value.toString('latin1');
}

class EmbeddedLog {
  private readonly topics: Topics;
  private readonly notifier: Notifier;
  private readonly appender: Appender;
  private readonly groups: Groups;
  private readonly trimmer: Trimmer;
  private readonly lease: Lease;
  private readonly tails = new Set<Tail>();
  private readonly poll: Timer;
  private mark: string | undefined;
  private markFault = '';
  private closedMs: number | undefined;

  constructor(
    private readonly parts: EmbeddedLogParts,
    private readonly log: Store,
    private readonly live: Store,
    private readonly identity: string,
  ) {
    const { clock, random, peers, notices } = parts;
    this.look();
    this.poll = every(clock, pollMs, () => this.look());
    const id = randomHex(random, 64);
    this.topics = new Topics(log);
    this.notifier = new Notifier({ log, live, clock, peers, id });
    this.lease = new Lease(live, clock, id);
    const appended = (topic: string): void => this.notifier.appended(topic);
    this.appender = new Appender({ store: log, topics: this.topics, clock, random, appended });
    this.trimmer = new Trimmer(log, this.topics, clock, random, {
      groups: () => this.groups.all(),
      failed(reason) {
        const message = 'old records could not be removed, so the log grows';
        notices.emit({ type: 'log', level: 'warn', message, fields: { reason } });
      },
      dropped: (what, reason) => notices.emit({ type: 'dropped', what, reason }),
      heldBytesMax: parts.heldBytesMax ?? limits.heldEventBytesMax,
    });
    this.groups = new Groups({
      self: parts.self,
      leaseId: id,
      lease: this.lease,
      log,
      live,
      clock,
      random,
      notices,
      peers,
      topics: this.topics,
      notifier: this.notifier,
      reader: (topic, partition) => this.reader(topic, partition),
    });
  }

  private look(): void {
    // In a directory that replaced the first one, the mark belongs to another log.
    if (this.log.check()) this.keepMark();
    this.live.check();
  }
  private keepMark(): void {
    let fault = '';
    try {
      this.mark = keepLogMark(this.parts.dir, this.identity, this.mark);
    } catch (error) {
      fault = errorMessage(error);
    }
    if (fault !== '' && fault !== this.markFault) {
      const message = 'the file that records the creation of the log cannot be kept';
      this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: { reason: fault } });
    }
    this.markFault = fault;
  }

  private reader(topic: string, partition: number): Reader {
    return new Reader(this.log, this.parts.notices, topic, partition);
  }

  private check(): void {
    if (this.closedMs !== undefined)
      throw new BusError('Closed', 'the log was closed', { outcome: 'not-sent', sinceMs: this.closedMs });
  }

  /**
   * Wraps a function as a call of the port. It is rejected after close, and errors that it throws become rejections.
   */
  private call<A extends readonly unknown[], R>(run: (...args: A) => R | Promise<R>): (...args: A) => Promise<R> {
    return async (...args) => {
      this.check();
      return run(...args);
    };
  }

  port(): Log {
    const { groups, topics, trimmer, appender } = this;
    return {
      ...closable(() => {
        this.closedMs ??= this.parts.clock.now();
        return this.letGo();
      }),
      stateBytesMax,
      gapless: true,
      holdsUnread: true,
      ensure: this.call((topic: Topic) => topics.ensure(topic)),
      append: this.call((topic: string, records: readonly Append[]) => appender.append(topic, records)),
      tail: this.call((topic: string, from: TailFrom) => this.tail(topic, from)),
      join: this.call((group: string, topic: string, owner: Owner, options?: GroupOptions) =>
        groups.join(group, topic, owner, options),
      ),
      startGroup: this.call((group: string, topic: string, at: GroupStart) => groups.start(group, topic, at)),
      trim: this.call(async (topic: string, partition: number, before: number) => {
        await trimmer.below(topic, partition, before);
      }),
      topics: this.call(() => topics.all()),
      bounds: this.call((topic: string) => this.bounds(topic)),
      storedBytes: this.call((topic: string) => {
        this.log.refresh();
        return topics.storedBytes(topic);
      }),
      openTransactions: () => Promise.resolve([]),
      peek: this.call((topic: string, from: Place, max: ReadMax) => this.peek(topic, from, max)),
      dropGroup: this.call((group: string, topic: string) => groups.drop(group, topic)),
      groups: this.call((isWanted?: (group: string) => boolean) => groups.all(isWanted)),
      committedOffsets: this.call((group: string, topic: string) => groups.places(group, topic)),
    };
  }

  private tail(name: string, from: TailFrom): Tail {
    const tail = openTail(
      {
        topics: this.topics,
        notifier: this.notifier,
        refresh: () => this.log.refresh(),
        reader: (partition) => this.reader(name, partition),
      },
      this.topics.get(name),
      from,
      () => this.tails.delete(tail),
    );
    this.tails.add(tail);
    return tail;
  }

  private bounds(name: string) {
    const { partitions } = this.topics.get(name);
    this.log.refresh();
    return Array.from({ length: partitions }, (_, partition) => this.topics.bounds(name, partition));
  }

  private peek(name: string, from: Place, max: ReadMax) {
    this.log.refresh();
    const { start, end } = this.topics.bounds(name, from.partition);
    return this.reader(name, from.partition).read(Math.max(from.offset, start), end, max).records;
  }

  private readonly letGo = teardown('the log', [
    ['poll', () => this.poll.cancel()],
    ['trimmer', () => this.trimmer.close()],
    [
      'tails',
      () =>
        allEnded(
          'tails',
          [...this.tails].map((tail) => tail.close()),
        ),
    ],
    ['groups', () => this.groups.close()],
    ['notifier', () => this.notifier.close()],
    ['lease', () => this.lease.close()],
    ['appender', () => this.appender.close()],
    ['live store', () => this.live.release()],
    ['log store', () => this.log.release()],
  ]);
}
