/**
 * Leaders that move on brokers in memory under light traffic: one process sends little, and reads through a group and a
 * tail, so that several parts refresh the metadata that they share. Each record is read soon after all is quiet.
 */
import { openNotices, type Notice } from '../../src/base/notices';
import { View } from '../../src/kafka/view';
import { seededRandom } from '../../src/memory/clock';
import type { Log, Member, Owned } from '../../src/ports/log';
import { FakeBench, max, record } from '../kafka/fakebench';
import type { FakeNode } from '../kafka/fakewire';
import { dice, type Dice } from './dice';
import type { Ledger } from './ledger';
import type { Plant } from './plants';

const partitions = 12;
const bursts = 10;
/** Whatever a burst began has happened by then. */
const settledMs = 3_000;
const quietMs = 4_000;
/** A read takes a poll that is under way, a pause and a look, once all is quiet. */
const lateMs = 2_000;

interface Written {
  readonly partition: number;
  readonly atMs: number;
}

export async function playLeaders(
  seed: number,
  ledger: Pick<Ledger, 'breaks' | 'count' | 'note'>,
  plant?: Plant,
): Promise<void> {
  const scene = new Scene(seed, plant);
  const { late, unpolled, moves } = await scene.play();
  ledger.count('fault leader moved', moves);
  ledger.note(`leaders of ${seed} moved ${moves} times`);
  for (const what of [...late, ...unpolled]) ledger.breaks('fetched', what);
}

class Scene {
  readonly #bench = new FakeBench();
  readonly #dice: Dice;
  readonly #written = new Map<string, Written>();
  readonly #readMs = new Map<string, number>();
  readonly #quiet: { readonly fromMs: number; readonly toMs: number }[] = [];
  #topic = '';
  #moves = 0;
  #over = false;

  constructor(
    seed: number,
    private readonly plant: Plant | undefined,
  ) {
    this.#dice = dice(seed, 9);
  }

  get #nowMs(): number {
    return this.#bench.clock.mono();
  }

  async play() {
    const bench = this.#bench;
    const { log, topic, heard } = await this.#open();
    this.#topic = topic;
    await this.#read(log);
    void this.#send(log);
    for (let n = 0; n < bursts; n++) {
      for (let more = this.#dice.whole(1, 3); more > 0; more--) {
        this.#trouble();
        await bench.clock.advance(this.#dice.whole(50, 1_500));
      }
      await bench.clock.advance(settledMs);
      this.#quiet.push({ fromMs: this.#nowMs, toMs: this.#nowMs + quietMs });
      await bench.clock.advance(quietMs);
    }
    this.#over = true;
    await bench.clock.advance(lateMs);
    const late = [...this.#written].flatMap(([name, one]) => this.#lateness(name, one));
    await bench.close();
    const unpolled = heard.flatMap((notice) => (isUnpolled(notice) ? [notice.reason] : []));
    return { late, unpolled, moves: this.#moves };
  }

  async #open() {
    const { clock, cluster } = this.#bench;
    const heard: Notice[] = [];
    const notices = openNotices();
    notices.watch((notice) => heard.push(notice));
    const wire = cluster.wire('one');
    const view = new View({ wire, clock, random: seededRandom(3), notices });
    this.plant?.view?.(view);
    const opened = await this.#bench.open(partitions, {}, { view, notices });
    return { ...opened, heard };
  }

  async #read(log: Log): Promise<void> {
    const bench = this.#bench;
    const owner = { take: (owned: Owned): void => void this.#readOwned(owned), give: () => Promise.resolve() };
    await bench.run<Member>(log.join('g', this.#topic, owner));
    const tail = await bench.run(log.tail(this.#topic, 'end')); // another fetcher on the same view
    void (async () => {
      while ((await tail.read(max)).length > 0);
    })();
  }

  async #readOwned(owned: Owned): Promise<void> {
    for (let next = 0; ;) {
      const records = await owned.read(next, max, owned.lost).catch(() => undefined);
      if (records === undefined || owned.lost.aborted) return; // lost or given: the next owner reads from the start
      for (const { value, offset } of records) {
        next = offset + 1;
        this.#readMs.set(String(Buffer.from(value ?? [])), this.#nowMs);
      }
    }
  }

  async #send(log: Log): Promise<void> {
    for (let n = 1; !this.#over; n++) {
      await new Promise<void>((go) => this.#bench.clock.after(this.#dice.whole(5, 400), go));
      const partition = this.#dice.whole(0, partitions - 1);
      void log.append(this.#topic, [record(`${n}`, partition)]).then(
        () => this.#written.set(`${n}`, { partition, atMs: this.#nowMs }),
        () => undefined,
      );
    }
  }

  /** A broker is away for a moment, or none; others get some of what it led, and it learns that later than the clients. */
  #trouble(): void {
    const { cluster, clock } = this.#bench;
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

  #lateness(name: string, { partition, atMs }: Written): readonly string[] {
    const readMs = this.#readMs.get(name) ?? Infinity;
    const late = this.#quiet.some(({ fromMs, toMs }) => Math.max(atMs, fromMs) + lateMs < Math.min(readMs, toMs));
    return late ? [`${name} of partition ${partition} was written at ${atMs} and read at ${readMs}`] : [];
  }
}

function isUnpolled(notice: Notice): notice is Extract<Notice, { type: 'state' }> {
  return notice.type === 'state' && !notice.ok && notice.reason.includes('no fetch was sent');
}
