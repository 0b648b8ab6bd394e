/** Retains what this process knows of a partition between two ownerships: what it settled, and what still runs. */
import type { Commit } from '../../ports/log';
import { isSameProgress, isWithin, mergeProgress, progressOf, type Progress } from './progress';

/** Identity of a message, and its key. */
interface Kept {
  readonly lane: string | null;
  readonly offset: number;
  readonly id: string;
}

/** Where an ownership begins. */
export interface Begin extends Progress {
  /** Whether this process knows more than the log does, so that a commit is due at once. */
  readonly ahead: boolean;
}

/** Commits of unknown outcome that are remembered, to recognize the one that the log has kept. */
const sentMax = 8;

/**
 * An ownership can end before everything that was settled in it is committed, and handlers can outlive it. The next
 * ownership of the partition in this process begins with all of that, so that a process that lives handles nothing
 * twice, even if the queue was closed and taken again. One for each partition of a queue; it holds no messages except
 * those of handlers that still run.
 */
export class Retained {
  /** How often the partition was given up while messages waited in it that this process does not serve. */
  givenAway = 0;
  /** Handlers of earlier ownerships that have not ended, by lane. */
  readonly #running = new Map<string, Kept>();
  /** Messages whose handler ended well after its ownership: id by offset. */
  readonly #done = new Map<number, string>();
  #left: Progress | undefined;
  /** The commit that the log had when this process looked, or has acknowledged since. */
  #kept: Commit | null = null;
  /** Commits of unknown outcome after that one: the log can have the last of them that arrived. */
  #sent: Commit[] = [];
  /** Calls the owner when messages that were blocked can start. */
  #freed: (() => void) | undefined;

  /** `freed` is called when messages that {@link blocks} held back can start. */
  watch(freed: () => void): void {
    this.#freed = freed;
  }

  /** Progress at the beginning of a new ownership. */
  recall(committed: Commit | null, tell: (reason: string) => void): Begin {
    const [left, own] = [this.#left, this.#isKnown(committed)];
    // In one log the place of a group does not go back. So another log has its name, or a tool has set the place.
    const back = committed !== null && this.#kept !== null && committed.offset < this.#kept.offset;
    this.#left = undefined;
    this.#kept = committed;
    this.#sent = [];
    let readable = (committed?.state.length ?? 0) > 0;
    const inLog = progressOf(committed, (reason) => {
      readable = false;
      tell(reason);
    });
    // A tool that moves the place of a group writes no state, and a log that has forgotten the group has no commit.
    const moved = !own && (!readable || back);
    if (moved) this.#done.clear();
    if (!left || moved) return { ...inLog, ahead: false };
    // With no other owner in between, what this process knows includes what the log has.
    const known = own ? left : mergeProgress(inLog, left);
    this.#forgetSettled(known);
    return { ...known, ahead: !isSameProgress(known, inLog) };
  }

  /** What an ownership leaves behind; undefined when the log has all of it. */
  leave(progress: Progress | undefined): void {
    this.#left = progress;
  }
  /** The log lost what it had from `end` on: other messages come there. */
  cut(end: number): void {
    for (const offset of this.#done.keys()) if (offset >= end) this.#done.delete(offset);
  }

  /** A commit is sent; its outcome is unknown until `acknowledged`. */
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

  /** Its ownership has ended and its handler has not. */
  outlives(message: Kept): void {
    this.#running.set(laneOf(message), message);
  }
  /** The handler of a message that outlived its ownership has ended; `done` when the message needs no other attempt. */
  ended(message: Kept, done: boolean): void {
    if (this.#running.get(laneOf(message)) === message) this.#running.delete(laneOf(message));
    if (done) this.#done.set(message.offset, message.id);
    this.#freed?.();
  }
  get isRunning(): boolean {
    return this.#running.size > 0;
  }
  /** Whether a handler of an earlier ownership has to end before this message can start: its own, or one of its key. */
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

/** The partitions of all queues that a process works on, also of those that it does not own at the moment. */
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
