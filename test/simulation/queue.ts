/**
 * Checks one queue: the owners of its partitions, and the order in which messages are read, handled, settled, parked
 * and committed.
 */
import type { Commit, OwnedPartition, Stored } from '../../src/ports/log';
import { numberOf } from './contracts';
import { Lane } from './lane';
import type { Ledger, Message } from './ledger';
import { coverOf, covers, Shelf, Tenure, type Cover, type Handling, type Rule, type Track, type Who } from './shelf';

export interface QueueRules {
  readonly group: string;
  /** Its name in notices and parked messages. */
  readonly queue: string;
  readonly entries: ReadonlyMap<string, Rule>;
  /** The age of the oldest uncommitted settled message after which none must start. */
  readonly unkeptMsMax: number;
  /** The longest `handoverMs` of its entries. */
  readonly handoverMs: number;
  /** True if the message belongs to this queue: a listener receives messages sent after it first listened. */
  owes(message: Message): boolean;
}

/** An owner that gives a partition tries to commit for this time. Messages without a commit are repeated. */
const lastCommitMs = 10_000;

export class QueueCheck {
  /** Accepted, for this queue, and neither handled nor parked. */
  readonly owed = new Set<number>();
  readonly parked = new Set<number>();
  readonly #shelves = new Map<number, Shelf>();
  readonly #tracks = new Map<number, Track>();
  readonly #firsts = new Map<string, number>();

  constructor(
    private readonly ledger: Ledger,
    readonly rules: QueueRules,
  ) {}

  /** Its sender received an acknowledgement. */
  accepted(message: Message): void {
    if (!this.rules.entries.has(message.entry) || !this.rules.owes(message)) return;
    if (!this.#tracks.get(message.n)?.settled) this.owed.add(message.n);
  }

  took(who: Who, { partition, epoch, committed }: OwnedPartition, member: object = who): Tenure {
    const shelf = this.#shelf(partition);
    const about = `${who.name} takes ${this.rules.group}/${partition}`;
    const begin = committed ? coverOf(committed) : { offset: 0, ranges: [] };
    this.ledger.note(`${about} epoch ${epoch} at ${begin.offset}`);
    shelf.readTo = Math.max(shelf.readTo, begin.offset);
    shelf.commits(begin, epoch - 1);
    const tenure = new Tenure(who, shelf, epoch, this.ledger.nowMs, begin, member);
    for (const other of shelf.tenures) {
      const before = other.epoch < epoch ? other : tenure; // a take can arrive after the partition was lost again
      if (other.ended || before.excused) continue;
      this.ledger.breaks('owner', `${about}, ${other.who.name} has not given it`);
    }
    shelf.tenures.push(tenure);
    return tenure;
  }

  gives(tenure: Tenure): void {
    tenure.givingMs = this.ledger.nowMs;
  }

  ended(tenure: Tenure, how: 'given' | 'lost'): void {
    if (tenure.ended) return;
    tenure.ended = how;
    tenure.gaveInMs = this.ledger.nowMs - tenure.givingMs;
    const { who, shelf, epoch } = tenure;
    this.ledger.note(
      `${who.name} ${how === 'given' ? 'gave' : 'lost'} ${this.rules.group}/${shelf.number} epoch ${epoch}`,
    );
    for (const lane of shelf.lanes.values()) {
      for (const handling of lane.running) if (handling.tenure === tenure) this.#leftRunning(handling, how);
    }
  }

  #leftRunning(handling: Handling, how: 'given' | 'lost'): void {
    const { tenure, track } = handling;
    handling.overstays = true;
    const { who, gaveInMs, excused } = tenure;
    if (how === 'lost' || gaveInMs >= this.rules.handoverMs || excused) return;
    this.ledger.breaks('owner', `#${track.message.n} runs at ${who.name}, which gave the partition in ${gaveInMs} ms`);
  }

  read({ shelf }: Tenure, records: readonly Stored[]): void {
    for (const record of records) {
      if (record.offset < shelf.readTo) continue;
      shelf.readTo = record.offset + 1;
      this.#keep(shelf, record);
    }
  }

  #keep(shelf: Shelf, { offset, value }: Stored): void {
    const message = this.ledger.messages.get(numberOf(value) ?? 0);
    const rule = message && this.rules.entries.get(message.entry);
    if (!message || !rule || this.#tracks.has(message.n)) return;
    const key = message.key ?? `#${message.n}`;
    const lane = shelf.lanes.get(key) ?? new Lane(this.ledger);
    const track: Track = { message, rule, shelf, offset, lane, starts: 0, told: 0, settled: false };
    shelf.lanes.set(key, lane);
    lane.tracks.push(track);
    shelf.tracks.push(track);
    this.#tracks.set(message.n, track);
  }

  /** Checks a commit before it is sent. */
  commit(tenure: Tenure, commit: Commit): Cover {
    const { who, shelf, begin } = tenure;
    const own = shelf.tenures.filter(({ member }) => member === tenure.member);
    const cover = coverOf(commit);
    const about = `${who.name} commits ${this.rules.group}/${shelf.number} at ${cover.offset}`;
    tenure.shelf.tells(tenure, commit);
    this.ledger.note(`${about} ${cover.ranges.map(({ from, to }) => `${from}-${to}`).join(' ')}`);
    if (cover.offset > shelf.readTo) this.ledger.breaks('commit', `${about}, read was up to ${shelf.readTo}`);
    for (const { message, offset } of shelf.tracks) {
      if (!covers(cover, offset) || covers(begin, offset) || own.some((one) => one.hasSettled(message.n))) continue;
      this.ledger.breaks('commit', `${about}, #${message.n} at ${offset} is not settled`);
      break;
    }
    return cover;
  }

  committed(tenure: Tenure, cover: Cover): void {
    tenure.shelf.commits(cover, tenure.epoch);
    tenure.keeps(cover);
  }

  /** A handler starts. Returns undefined when it should never have received the message. */
  starts(who: Who, message: Message, attempt: number): Handling | undefined {
    const track = this.#tracks.get(message.n);
    const tenure = track?.shelf.tenures.findLast((one) => one.who === who);
    if (!track || !tenure) {
      this.ledger.breaks('owner', `${who.name} starts #${message.n} of a partition it never had`);
      return undefined;
    }
    if (tenure.ended) this.ledger.breaks('owner', `${who.name} starts #${message.n} of a partition it ${tenure.ended}`);
    const handling: Handling = { track, tenure, overstays: false };
    this.#checkTwice(handling);
    this.#checkUnkept(handling);
    tenure.announced.delete(message.n);
    this.#checkAttempt(track, attempt);
    this.#checkFirst(track);
    track.lane.starts(handling);
    track.starts++;
    tenure.started.add(message.n);
    return handling;
  }

  #checkTwice({ track: { message, offset }, tenure }: Handling): void {
    const { committed, tenures } = tenure.shelf;
    const about = `#${message.n} ${message.entry} starts again at ${tenure.who.name}`;
    if (tenure.settled.has(message.n)) return this.ledger.breaks('twice', `${about}, which has settled it`);
    const own = tenures.find((one) => one.member === tenure.member && one.hasSettled(message.n));
    if (own) return this.ledger.breaks('twice', `${about}, which settled it in epoch ${own.epoch}`);
    for (const before of tenures) {
      const { ended, excused, gaveInMs, who } = before;
      const passedOn = ended === 'given' && !excused && !who.cannotCommit && gaveInMs < lastCommitMs;
      if (!passedOn || before.epoch > tenure.epoch || !before.settled.has(message.n) || before.late.has(message.n))
        continue;
      this.ledger.breaks('twice', `${about}, ${before.who.name} settled it and gave the partition`);
    }
    if (!committed || !covers(committed, offset)) return;
    if (committed.epoch > tenure.epoch && tenure.excused) return; // the owner cannot yet know that it lost the partition
    this.ledger.breaks('twice', `${about}, its settling was committed`);
  }

  /** The next owner would repeat uncommitted messages, so no message starts while commits fail. */
  #checkUnkept({ track: { message }, tenure }: Handling): void {
    const sinceMs = this.ledger.nowMs - tenure.oldestUnkeptMs;
    if (sinceMs <= this.rules.unkeptMsMax) return;
    const about = `#${message.n} starts at ${tenure.who.name}`;
    this.ledger.breaks('unkept', `${about}, which could not commit for ${sinceMs} ms`);
  }

  #checkAttempt(track: Track, attempt: number): void {
    const { message, rule, shelf } = track;
    const about = `#${message.n} gets attempt ${attempt}`;
    const starts = shelf.startsOf(track);
    if (attempt > starts + 1) this.ledger.breaks('attempt', `${about}, it is start ${starts + 1}`);
    if (attempt > rule.attempts) this.ledger.breaks('attempt', `${about} of ${rule.attempts}`);
  }

  #checkFirst({ message, starts }: Track): void {
    if (starts > 0 || message.key === null) return;
    const name = `${message.sender} ${message.key}`;
    const before = this.#firsts.get(name) ?? 0;
    if (message.n < before) this.ledger.breaks('order', `#${message.n} of ${name} is first handled after #${before}`);
    this.#firsts.set(name, Math.max(before, message.n));
  }

  ends(handling: Handling, ok: boolean): void {
    handling.track.lane.ends(handling);
    if (ok) this.#settle(handling.track, handling.tenure);
  }

  /** The message is being parked. Returns a function to call when the log has stored it. */
  parks(who: Who, message: Message): () => void {
    const track = this.#tracks.get(message.n);
    const tenure = track?.shelf.tenures.findLast((one) => one.who === who);
    if (!track || !tenure) {
      this.ledger.breaks('phantom', `#${message.n} is parked by ${who.name}, which never had it`);
      return () => undefined;
    }
    const deserves = message.script.parks || track.shelf.startsOf(track) >= track.rule.attempts;
    if (!deserves) this.ledger.breaks('attempt', `#${message.n} is parked after ${track.starts} starts`);
    return () => {
      this.ledger.note(`${who.name} parked #${message.n} of ${this.rules.queue}`);
      this.parked.add(message.n);
      this.#settle(track, tenure);
    };
  }

  #settle(track: Track, tenure: Tenure): void {
    if (tenure.ended) tenure.settledAfter.add(track.message.n);
    else tenure.settles(track, this.ledger.nowMs);
    if (this.ledger.nowMs - tenure.givingMs >= this.rules.handoverMs) tenure.late.add(track.message.n);
    if (!track.settled) this.ledger.count('settled');
    track.settled = true;
    this.owed.delete(track.message.n);
  }

  end(): void {
    const lost = [...this.owed];
    if (lost.length === 0) return;
    const some = lost.slice(0, 5).map((n) => `#${n}`);
    this.ledger.breaks(
      'lost',
      `${this.rules.queue}: ${lost.length} neither handled nor parked, such as ${some.join(' ')}`,
    );
  }

  #shelf(partition: number): Shelf {
    const found = this.#shelves.get(partition) ?? new Shelf(partition);
    this.#shelves.set(partition, found);
    return found;
  }
}
