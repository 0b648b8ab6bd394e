/** Keeps what this process knows of a partition between two ownerships: settled messages and running handlers. */
import type { Commit } from '../../ports/log';
import { isSameProgress, isWithin, mergeProgress, progressOf, type Progress } from './progress';

/** Identity of a message, and its key. */
interface Kept {
  readonly lane: string | null;
  readonly offset: number;
  readonly id: string;
}

/** Progress at which an ownership begins. */
export interface Begin extends Progress {
  /** True when this process knows more than the log does, so that a commit is due at once. */
  readonly ahead: boolean;
}

/** Limit of remembered commits of unknown outcome. They are compared with the commit that the log returns. */
const sentMax = 8;

/**
 * Progress and running handlers that outlive an ownership of one partition of a queue. An ownership can end before all
 * its settled messages are committed, and handlers can outlive it. The next ownership in this process begins with this
 * knowledge. The process then handles nothing twice, even if the queue was closed and consumed again. Only messages
 * whose handlers still run are held in memory.
 */
export class Retained {
  /** Number of times that the partition was released while it held messages that this process does not serve. */
  givenAway = 0;
  /** Handlers of earlier ownerships that have not ended, by lane. */
  readonly #running = new Map<string, Kept>();
  /** Ids of messages whose handler succeeded after its ownership, by offset. */
  readonly #done = new Map<number, string>();
  #left: Progress | undefined;
  /** The commit that the log had at the start of the ownership, or has acknowledged since. */
  #kept: Commit | null = null;
  /** Later commits of unknown outcome. The log can hold the last of them that arrived. */
  #sent: Commit[] = [];
  /** Called when messages that were blocked can start. */
  #freed: (() => void) | undefined;

  /** Sets the function that is called when messages that {@link blocks} held back can start. */
  watch(freed: () => void): void {
    this.#freed = freed;
  }

  /** Returns the progress at the beginning of a new ownership. */
  recall(committed: Commit | null, report: (reason: string) => void): Begin {
    const [left, own] = [this.#left, this.#isKnown(committed)];
    // The offset of a group never decreases in one log. So another log has its name, or a tool has set the offset.
    const back = committed !== null && this.#kept !== null && committed.offset < this.#kept.offset;
    this.#left = undefined;
    this.#kept = committed;
    this.#sent = [];
    let readable = (committed?.state.length ?? 0) > 0;
    const inLog = progressOf(committed, (reason) => {
      readable = false;
      report(reason);
    });
    // A tool that sets the offset of a group writes no state. A log that has forgotten the group has no commit.
    const moved = !own && (!readable || back);
    if (moved) this.#done.clear();
    this.#forgetSettled(inLog);
    if (!left || moved) return { ...inLog, ahead: false };
    // Without another owner in between, the knowledge of this process includes the commit of the log.
    const known = own ? left : mergeProgress(inLog, left);
    this.#forgetSettled(known);
    return { ...known, ahead: !isSameProgress(known, inLog) };
  }

  /** Keeps the progress of an ownership that ended. `undefined` means that the log has all of it. */
  leave(progress: Progress | undefined): void {
    this.#left = progress;
  }
  /** Forgets messages from `end` on, because the log lost them and other messages get their offsets. */
  cut(end: number): void {
    for (const offset of this.#done.keys()) if (offset >= end) this.#done.delete(offset);
  }

  /** Records a commit that is being sent. Its outcome is unknown until `acknowledged`. */
  sent(commit: Commit): void {
    this.#sent.push(commit);
    if (this.#sent.length > sentMax) this.#sent.shift();
  }
  acknowledged(commit: Commit): void {
    this.#kept = commit;
    this.#sent = [];
  }
  #isKnown(commit: Commit | null): boolean {
    if (commit === null) return this.#kept === null;
    return [this.#kept, ...this.#sent].some((one) => one !== null && isSame(one, commit));
  }

  /** Records a message whose ownership has ended while its handler still runs. */
  outlives(message: Kept): void {
    this.#running.set(laneOf(message), message);
  }
  /** Records that such a handler has ended. `done` means that the message needs no other attempt. */
  ended(message: Kept, done: boolean): void {
    if (this.#running.get(laneOf(message)) === message) this.#running.delete(laneOf(message));
    if (done) this.#done.set(message.offset, message.id);
    this.#freed?.();
  }
  get isRunning(): boolean {
    return this.#running.size > 0;
  }
  /**
   * Returns true when a handler of an earlier ownership must end before this message can start: its own, or one of its
   * key.
   */
  blocks(message: Kept): boolean {
    return this.#running.size > 0 && this.#running.has(laneOf(message));
  }
  isDone({ offset, id }: Kept): boolean {
    return this.#done.size > 0 && this.#done.get(offset) === id;
  }
  settled(offset: number): void {
    if (this.#done.size > 0) this.#done.delete(offset);
  }
  #forgetSettled({ offset, state }: Progress): void {
    for (const at of this.#done.keys()) {
      if (at < offset || isWithin(state.ranges, at)) this.#done.delete(at);
    }
  }
}

function isSame(a: Commit, b: Commit): boolean {
  return a.offset === b.offset && Buffer.compare(a.state, b.state) === 0;
}
const laneOf = ({ lane, offset }: Kept): string => (lane === null ? `#${offset}` : `=${lane}`);

/**
 * Progress of the partitions of all queues that this process consumes, including partitions that it does not own now.
 */
export class RetainedPartitions {
  readonly #groups = new Map<string, Map<number, Retained>>();

  constructor(private readonly make: () => Retained = () => new Retained()) {}

  of(group: string, partition: number): Retained {
    const partitions = this.in(group);
    const found = partitions.get(partition) ?? this.make();
    partitions.set(partition, found);
    return found;
  }
  in(group: string): Map<number, Retained> {
    const found = this.#groups.get(group) ?? new Map<number, Retained>();
    this.#groups.set(group, found);
    return found;
  }
}
