/**
 * Partition leaders that move between in-memory brokers under light traffic. One process sends little, and reads
 * through a group and a tail, so that several parts refresh the shared metadata. Each record is read shortly after the
 * faults end.
 */
import { openNotices, type Notice } from '../../src/base/notices';
import { ClusterMetadata } from '../../src/kafka/cluster/metadata';
import { seededRandom } from '../../src/memory/clock';
import type { Log, Member, OwnedPartition } from '../../src/ports/log';
import { FakeKafka, max, record } from '../support/fake-kafka-log';
import type { FakeNode } from '../support/fake-cluster';
import { dice, type Dice } from './dice';
import type { Ledger } from './ledger';
import type { Plant } from './plants';

const partitions = 12;
const bursts = 10;
/** The time after which all effects of a burst have ended. */
const settledMs = 3_000;
const quietMs = 4_000;
/** After the faults a read takes at most a pending poll, a pause and a metadata refresh. */
const lateMs = 2_000;

interface Sent {
  readonly partition: number;
  readonly sentMs: number;
  /** The time of its acknowledgement, and of its arrival at each reader. */
  writtenMs: number;
  ownedMs: number;
  tailMs: number;
}

export async function playLeaders(
  seed: number,
  ledger: Pick<Ledger, 'breaks' | 'count' | 'note'>,
  plant?: Plant,
): Promise<void> {
  const scene = new Scene(seed, plant);
  const { broken, moves } = await scene.play();
  ledger.count('fault leader moved', moves);
  ledger.note(`leaders of ${seed} moved ${moves} times`);
  for (const what of broken) ledger.breaks('fetched', what);
}

class Scene {
  readonly #kafka = new FakeKafka();
  readonly #dice: Dice;
  readonly #sent = new Map<string, Sent>();
  readonly #quiet: { readonly fromMs: number; readonly toMs: number }[] = [];
  #topic = '';
  #lost = 0;
  #moves = 0;
  #over = false;

  constructor(
    seed: number,
    private readonly plant: Plant | undefined,
  ) {
    this.#dice = dice(seed, 9);
  }

  get #nowMs(): number {
    return this.#kafka.clock.mono();
  }

  async play() {
    const kafka = this.#kafka;
    const { log, topic, heard } = await this.#open();
    this.#topic = topic;
    await this.#read(log);
    void this.#send(log);
    for (let n = 0; n < bursts; n++) {
      for (let more = this.#dice.whole(1, 3); more > 0; more--) {
        this.#trouble();
        await kafka.clock.advance(this.#dice.whole(50, 1_500));
      }
      await kafka.clock.advance(settledMs);
      this.#quiet.push({ fromMs: this.#nowMs, toMs: this.#nowMs + quietMs });
      await kafka.clock.advance(quietMs);
    }
    this.#over = true;
    await kafka.clock.advance(lateMs);
    const late = [...this.#sent].flatMap(([name, one]) => this.#lateness(name, one));
    await kafka.close();
    const unpolled = heard.flatMap((notice) => (isUnpolled(notice) ? [notice.reason] : []));
    // No broker is down for as long as a session.
    const lost = this.#lost > 0 ? [`its member lost ${this.#lost} partitions`] : [];
    return { broken: [...late, ...unpolled, ...lost], moves: this.#moves };
  }

  async #open() {
    const { clock, cluster } = this.#kafka;
    const heard: Notice[] = [];
    const notices = openNotices();
    notices.watch((notice) => heard.push(notice));
    const client = cluster.wire('one');
    const metadata = new ClusterMetadata({ client, clock, random: seededRandom(3), notices });
    this.plant?.metadata?.(metadata);
    const opened = await this.#kafka.open(partitions, {}, { metadata, notices });
    return { ...opened, heard };
  }

  async #read(log: Log): Promise<void> {
    const kafka = this.#kafka;
    const owner = {
      onAssigned: (owned: OwnedPartition): void => void this.#readOwned(owned),
      onRevoked: () => Promise.resolve(),
    };
    await kafka.run<Member>(log.join('g', this.#topic, owner));
    const tail = await kafka.run(log.tail(this.#topic, 'end')); // another fetcher on the same metadata
    void (async () => {
      for (let records = await tail.read(max); records.length > 0; records = await tail.read(max))
        for (const { value } of records) this.#of(value).tailMs = this.#nowMs;
    })();
  }
  #of(value: Uint8Array | null): Partial<Sent> {
    return this.#sent.get(String(Buffer.from(value ?? []))) ?? {};
  }

  async #readOwned(owned: OwnedPartition): Promise<void> {
    for (let next = 0; ;) {
      const records = await owned.read(next, max, owned.lost).catch(() => undefined);
      if (owned.lost.aborted && !this.#over) this.#lost++;
      if (records === undefined || owned.lost.aborted) return;
      for (const { value, offset } of records) {
        next = offset + 1;
        this.#of(value).ownedMs = this.#nowMs;
      }
    }
  }

  async #send(log: Log): Promise<void> {
    for (let n = 1; !this.#over; n++) {
      await new Promise<void>((go) => this.#kafka.clock.after(this.#dice.whole(5, 400), go));
      const partition = this.#dice.whole(0, partitions - 1);
      const never = { writtenMs: Infinity, ownedMs: Infinity, tailMs: Infinity };
      const sent: Sent = { partition, sentMs: this.#nowMs, ...never };
      this.#sent.set(`${n}`, sent);
      void log.append(this.#topic, [record(`${n}`, partition)]).then(
        () => (sent.writtenMs = this.#nowMs),
        () => undefined, // the 30 s deadline has passed
      );
    }
  }

  /**
   * Stops a broker for a moment, or none, and moves some of its leaderships. It detects the moves later than the
   * clients.
   */
  #trouble(): void {
    const { cluster, clock } = this.#kafka;
    const node = this.#dice.whole(1, 3);
    const downMs = this.#dice.whole(20, 1_000);
    this.#moves++;
    const [first, ...others] = [...cluster.nodes.values()].filter((one) => one.up && one.node !== node);
    if (!first) return;
    const able: readonly [FakeNode, ...FakeNode[]] = [first, ...others];
    if (this.#dice.chance(0.5)) {
      cluster.cut(node);
      clock.after(downMs, () => cluster.start(node));
    }
    cluster.topics.get(this.#topic)?.partitions.forEach(({ leader }, partition) => {
      if (leader !== node || this.#dice.chance(0.5)) return;
      const to = this.#dice.pick(able).node;
      const learnsMs = this.#dice.whole(0, 700);
      clock.after(this.#dice.whole(10, downMs + 300), () => cluster.lead(this.#topic, partition, to, learnsMs));
    });
  }

  /** After the faults each step of a record ends in time: it is written, read by the owner, and read by the tail. */
  #lateness(name: string, { partition, sentMs, writtenMs, ownedMs, tailMs }: Sent): readonly string[] {
    const isLate = (fromMs: number, toMs: number): boolean =>
      this.#quiet.some((quiet) => Math.max(fromMs, quiet.fromMs) + lateMs < Math.min(toMs, quiet.toMs));
    const steps = [
      ['written', sentMs, writtenMs],
      ['read by its owner', writtenMs, ownedMs],
      ['read by the tail', writtenMs, tailMs],
    ] as const;
    return steps.flatMap(([what, fromMs, toMs]) =>
      isLate(fromMs, toMs) ? [`${name} of partition ${partition} waited from ${fromMs} to ${toMs} to be ${what}`] : [],
    );
  }
}

function isUnpolled(notice: Notice): notice is Extract<Notice, { type: 'state' }> {
  return notice.type === 'state' && !notice.ok && notice.reason.includes('no fetch was sent');
}
