/** One run: a system built from a seed, faults while it works, a calm phase, and the violations found. */
import { virtualClock, type VirtualClock } from '../../src/memory';
import { errorMessage } from '../../src/base/errors';
import type { Stored } from '../../src/ports/log';
import type { ParkedNote } from '../../src/work/parked/park';
import { readOriginal } from '../../src/work/parked/stub';
import { Ledger, type Broken } from './ledger';
import { drawPlan, keepMsLong, type Plan } from './plan';
import type { Plant } from './plants';
import { playLeaders } from './leaders';
import { playResends } from './resends';
import { playSpools } from './spools';
import { shareStorage } from './storages';
import { System } from './system';

export interface Outcome {
  readonly seed: number;
  /** Empty when all promises held. */
  readonly broken: readonly Broken[];
  /** The hash of every event: the same for the same seed. */
  readonly hash: string;
  /** Event counts by name. */
  readonly counts: ReadonlyMap<string, number>;
  /** Every event, in order. */
  readonly lines: readonly string[];
}

/** Everything has to drain within this time after the last fault. */
const drainMsMax = 120_000;
/** Requests are sent again this long after the faults. */
const calmMs = 20_000;
const stepMs = 500;
/** Errors occur in every run, and full stacks would take a tenth of its time. */
const stackLines = 1;
const closeMsMax = 40_000;
/** With this many messages accepted during the faults, some of them must have been settled. */
const progressOf = 20;

/** Every tenth run also resends batches on in-memory brokers, which takes as long as ten other runs. */
const resendsEvery = 10;
/** Every fifteenth run also moves leaders on in-memory brokers, which takes as long as five other runs. */
const leadersEvery = 15;

export async function runSeed(seed: number, plant?: Plant): Promise<Outcome> {
  const plan = drawPlan(seed);
  const clock = virtualClock();
  const ledger = new Ledger(clock);
  const release = shareStorage();
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = stackLines;
  const uncaught = (error: unknown): void => ledger.breaks('quiet', sayFully(error));
  process.on('unhandledRejection', uncaught);
  try {
    const { system, resends, leaders, spools } = partsOf(seed, plant);
    if (system) await play(plan, clock, ledger, plant);
    if (resends) await playResends(seed, ledger, plant);
    if (leaders) await playLeaders(seed, ledger, plant);
    if (spools) await playSpools(seed, ledger, plant);
  } catch (error) {
    uncaught(error);
  } finally {
    await new Promise((resolve) => setImmediate(resolve)); // Node reports unhandled rejections only then
    process.off('unhandledRejection', uncaught);
    release();
    Error.stackTraceLimit = stackTraceLimit;
  }
  const { broken, hash, counts, lines } = ledger;
  return { seed, broken, hash, counts, lines };
}

/** Returns the parts of a run. A plant is looked for only in the part that has it. */
function partsOf(seed: number, plant: Plant | undefined) {
  const [resends, leaders, spools] = [!!plant?.client, !!plant?.metadata, !!plant?.spool];
  if (resends || leaders || spools) return { system: false, resends, leaders, spools };
  if (plant) return { system: true, resends, leaders, spools };
  return { system: true, resends: seed % resendsEvery === 0, leaders: seed % leadersEvery === 0, spools: true };
}

async function play(plan: Plan, clock: VirtualClock, ledger: Ledger, plant: Plant | undefined): Promise<void> {
  const system = new System(plan, clock, ledger, plant);
  system.start();
  await clock.advance(plan.healMs);
  checkProgress(plan, ledger);
  system.heal();
  await clock.advance(plan.sentMs - plan.healMs + calmMs);
  await drain(system, clock, ledger);
  const parked = await rest(system, plan, clock, ledger);
  system.end(parked);
  await closeAll(system, clock, ledger);
}

/** Checks that messages settle during the faults, unless the coordinator was away for most of the time. */
function checkProgress({ faults, healMs }: Plan, ledger: Ledger): void {
  const cutOff = faults.events.filter(({ what }) => what === 'no group');
  if (cutOff.reduce((sum, { forMs }) => sum + forMs, 0) > healMs / 2) return;
  const { accepted = 0, settled = 0 } = Object.fromEntries(ledger.counts);
  if (accepted >= progressOf && settled === 0) ledger.breaks('progress', `${accepted} were accepted, none was settled`);
}

async function drain({ checks }: System, clock: VirtualClock, ledger: Ledger): Promise<void> {
  for (let ms = 0; ms < drainMsMax && !checks.done; ms += stepMs) await clock.advance(stepMs);
  if (checks.done) return;
  const owed = [...checks.queues].flatMap((queue) => [...queue.owed]);
  const some = owed.slice(0, 5).map((n) => `#${n}`);
  ledger.breaks(
    'drained',
    `${owed.length} messages wait ${drainMsMax} ms after the last fault, such as ${some.join(' ')}`,
  );
}

/** Waits for the last commits, and returns the parked records. */
async function rest(
  { world, checks }: System,
  plan: Plan,
  clock: VirtualClock,
  ledger: Ledger,
): Promise<readonly Stored[]> {
  const { log } = world.process('observer');
  const ask = async <T>(asked: Promise<T>): Promise<T> => {
    await clock.advance(stepMs);
    return asked;
  };
  let behind = '';
  for (let ms = 0; ms < drainMsMax && checks.done; ms += stepMs) {
    behind = '';
    for (const { group, topic } of await ask(log.groups())) {
      const places = await ask(log.committedOffsets(group, topic));
      const bounds = await ask(log.bounds(topic));
      const late = places.find(({ partition, offset }) => offset < (bounds[partition]?.end ?? 0));
      if (late)
        behind = `${group}/${late.partition} is committed up to ${late.offset} of ${bounds[late.partition]?.end}`;
    }
    if (behind === '') break;
  }
  if (behind !== '') ledger.breaks('drained', behind);
  const parked: Stored[] = [];
  for (const topic of ['sim.jobs.parked', 'sim.index.parked']) {
    const there = await ask(log.topics());
    if (!there.some(({ name }) => name === topic)) continue;
    parked.push(...(await ask(log.peek(topic, { partition: 0, offset: 0 }, { messages: 10_000, bytes: 1e9 }))));
  }
  for (const record of parked) {
    const note = JSON.parse(record.headers['parked'] ?? '{}') as Partial<ParkedNote>; // written by work/park
    if (note.stub === undefined) continue;
    ledger.count('stubs');
    const gone = await ask(readOriginal(log, note as ParkedNote).then(() => undefined, errorMessage)); // the note of a stub is complete
    // An event that all named listeners have handled is kept for `keepMs`, also when a stub refers to it.
    const mayBeGone = note.topic?.endsWith('.events') === true && plan.keepMs < keepMsLong;
    if (gone !== undefined && !mayBeGone) ledger.breaks('lost', gone);
  }
  return parked;
}

async function closeAll(system: System, clock: VirtualClock, ledger: Ledger): Promise<void> {
  const { alive } = system;
  let open = alive.length;
  for (const instance of alive) void system.leave(instance).then(() => open--);
  await clock.runUntil(() => open === 0, closeMsMax);
  for (const line of system.badLeaves) ledger.breaks('closing', line);
}

function sayFully(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
