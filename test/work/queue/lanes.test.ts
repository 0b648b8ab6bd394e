import * as fc from 'fast-check';
import type { Lanes } from '../../../src/work/queue/lane';
import { openLanes } from '../../../src/work/queue/lanes';
import type { Item } from '../../../src/work/message';
import type { EntryLimits } from '../../../src/work/types';
import { heavy } from '../../heavy';

const limit = (concurrency: number, perSecond = Infinity): EntryLimits => ({ concurrency, perSecond });
const some = (limits: Record<string, EntryLimits>, may: (item: Item) => boolean = () => true) =>
  openLanes<Item>(new Map(Object.entries(limits)), may);
let offset = 0;
const item = (lane: string | null, entry = 'a', partition = 0): Item => ({
  lane,
  entry,
  partition,
  offset: offset++,
  runsIn: undefined,
});
const allNow = (lanes: Lanes<Item>, nowMs = 0): Item[] => {
  const found: Item[] = [];
  for (let next = lanes.next(nowMs); next; next = lanes.next(nowMs)) found.push(next);
  return found;
};

/** A brute-force model of the lanes: waiting items in order, running items, and items in backoff. */
class Model {
  waiting: Item[] = [];
  running: Item[] = [];
  later: { item: Item; dueMs: number; holds: boolean }[] = [];
  /** Items that were running when their partition was dropped. */
  readonly gone = new Set<Item>();
  /** Running items that were lifted from behind others, so that their lanes continue. */
  readonly beside = new Set<Item>();
  /** All lifted items. They are never retried. */
  readonly lifted = new Set<Item>();
  nowMs = 0;
  constructor(
    readonly concurrency: Record<string, number>,
    readonly blocked: () => boolean,
  ) {}
  sameLane = (a: Item, b: Item): boolean =>
    a === b || (a.lane !== null && a.lane === b.lane && a.partition === b.partition);
  pass(ms: number): void {
    this.nowMs += ms;
    for (const one of this.later.filter(({ dueMs }) => dueMs <= this.nowMs).sort((a, b) => a.dueMs - b.dueMs)) {
      this.later.splice(this.later.indexOf(one), 1);
      this.waiting.unshift(one.item);
    }
  }
  drop(partition: number): void {
    this.waiting = this.waiting.filter((one) => one.partition !== partition);
    this.later = this.later.filter(({ item: one }) => one.partition !== partition);
    for (const one of this.running) if (one.partition === partition) this.gone.add(one);
  }
  #blocks(running: Item): boolean {
    return !this.gone.has(running) && !this.beside.has(running);
  }
  /** Takes an item out of its turn. Its lane continues unless the item was the next one, or held the lane. */
  lift(one: Item): void {
    const index = this.waiting.indexOf(one);
    const due = this.later.find(({ item: other }) => other === one);
    const isFirst = this.waiting.findIndex((other) => this.sameLane(one, other)) === index;
    const free = !this.running.some((other) => this.#blocks(other) && this.sameLane(one, other));
    const held = this.later.some((other) => other.holds && this.sameLane(one, other.item));
    if (due ? !due.holds : !(isFirst && free && !held)) this.beside.add(one);
    if (due) this.later.splice(this.later.indexOf(due), 1);
    else this.waiting.splice(index, 1);
    this.running.push(one);
    this.lifted.add(one);
  }
  /**
   * Items that can start: first of their lane, with the lane neither running nor held by a retry, and the entry not
   * full.
   */
  mayStart(): Item[] {
    return this.waiting.filter((one, index) => {
      const first = this.waiting.findIndex((other) => this.sameLane(one, other)) === index;
      const free = !this.running.some((other) => this.#blocks(other) && this.sameLane(one, other));
      const held = this.later.some((other) => other.holds && this.sameLane(one, other.item));
      const room = this.running.filter(({ entry }) => entry === one.entry).length < (this.concurrency[one.entry] ?? 0);
      return first && free && !held && room && !this.blocked();
    });
  }
}

const script = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ lane: fc.constantFrom('k', 'l', 'm', null), entry: fc.constantFrom('a', 'b', 'x') }),
    },
    { weight: 5, arbitrary: fc.constant('next' as const) },
    { weight: 3, arbitrary: fc.record({ done: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ again: fc.nat(), inMs: fc.nat(50), aside: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ pass: fc.nat(60) }) },
    { weight: 1, arbitrary: fc.constant('block' as const) },
    { weight: 1, arbitrary: fc.record({ drop: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ lift: fc.nat() }) },
  ),
  { maxLength: 150 },
);

heavy('lanes agree with a model that scans all messages each time', () => {
  fc.assert(
    fc.property(script, (steps) => {
      let blocked = false;
      const lanes = some({ a: limit(2), b: limit(1) }, () => !blocked);
      const model = new Model({ a: 2, b: 1 }, () => blocked);
      for (const step of steps) {
        if (step === 'block') {
          blocked = !blocked;
          lanes.offer(0);
          lanes.offer(1);
        } else if (step === 'next') {
          const may = model.mayStart();
          const got = lanes.next(model.nowMs);
          expect(may.includes(got as Item) || (got === undefined && may.length === 0)).toBe(true);
          if (got) model.running.push(...model.waiting.splice(model.waiting.indexOf(got), 1));
        } else if ('lane' in step) {
          const added = item(step.lane, step.entry, step.lane === 'm' ? 1 : 0);
          lanes.add(added);
          model.waiting.push(added);
        } else if ('pass' in step) model.pass(step.pass);
        else if ('drop' in step) {
          lanes.drop(step.drop);
          model.drop(step.drop);
        } else if ('lift' in step) {
          const all = [...model.waiting, ...model.later.map(({ item: one }) => one)];
          const one = all[step.lift % (all.length || 1)];
          if (one) expect(lanes.lift(one, model.nowMs)).toBe(!blocked);
          if (one && !blocked) model.lift(one);
        } else {
          const [ended] = model.running.splice(
            ('done' in step ? step.done : step.again) % (model.running.length || 1),
            1,
          );
          if (ended && 'done' in step) lanes.done(ended);
          else if (ended && 'again' in step && model.lifted.has(ended)) lanes.done(ended);
          else if (ended && 'again' in step) {
            const dueMs = model.nowMs + step.inMs;
            lanes.again(ended, dueMs, step.aside ? 'aside' : 'in-order');
            if (!model.gone.has(ended)) {
              model.later.push({ item: ended, dueMs, holds: !step.aside || ended.lane === null });
            }
            model.pass(0);
          }
        }
        expect([...lanes.all()]).toHaveLength(model.waiting.length + model.later.length);
        expect(lanes.waiting + lanes.inBackoff).toBe(model.waiting.length + model.later.length);
      }
    }),
    { numRuns: 500 },
  );
});

test('lanes take turns, so a long lane does not delay short ones', () => {
  const lanes = some({ a: limit(1) });
  for (const lane of ['long', 'long', 'long', 'x', 'y']) lanes.add(item(lane));
  const order: (string | null)[] = [];
  for (let next = lanes.next(0); next; next = lanes.next(0)) {
    order.push(next.lane);
    lanes.done(next);
  }
  expect(order).toEqual(['long', 'x', 'y', 'long', 'long']);
});

test('entries take turns, and an entry at its limit delays no other', () => {
  const lanes = some({ a: limit(1), b: limit(2) });
  for (let n = 0; n < 3; n++) lanes.add(item(null, 'a'));
  for (let n = 0; n < 3; n++) lanes.add(item(null, 'b'));
  expect(allNow(lanes).map(({ entry }) => entry)).toEqual(['a', 'b', 'b']);
});

test('the limit of an entry covers all partitions', () => {
  const lanes = some({ a: limit(3) });
  for (let n = 0; n < 12; n++) lanes.add(item(null, 'a', n));
  expect(allNow(lanes)).toHaveLength(3);
});

test('lanes start at most perSecond messages a second, and wakeMs returns the next start', () => {
  const lanes = some({ a: limit(100, 4) });
  for (let n = 0; n < 20; n++) lanes.add(item(null));
  const starts: number[] = [];
  for (let nowMs = 0; nowMs <= 3_000;) {
    starts.push(...allNow(lanes, nowMs).map(() => nowMs));
    nowMs += Math.max(1, lanes.wakeMs(nowMs) ?? Infinity);
  }
  expect(starts.filter((ms) => ms <= 1)).toHaveLength(4); // what one second allows may start at once
  expect(starts.length).toBeGreaterThanOrEqual(15);
  expect(starts.length).toBeLessThanOrEqual(16);
});

test('setLimits takes effect while messages wait', () => {
  const lanes = some({ a: limit(1) });
  for (let n = 0; n < 5; n++) lanes.add(item(null));
  expect(allNow(lanes)).toHaveLength(1);
  lanes.setLimits('a', limit(3));
  expect(allNow(lanes)).toHaveLength(2);
});

test('blocked messages start when they are offered again: the lowest alone, or all', () => {
  let lowest = -1;
  const lanes = some({ a: limit(9) }, ({ offset: at }) => at === lowest || lowest === -2);
  const items = [item('x'), item('y'), item(null)];
  for (const one of items) lanes.add(one);
  expect(allNow(lanes)).toEqual([]);
  lowest = items[1]?.offset ?? 0;
  lanes.offer(0, lowest);
  expect(allNow(lanes)).toEqual([items[1]]);
  lowest = -2;
  lanes.offer(0);
  expect(allNow(lanes)).toEqual([items[0], items[2]]);
});

test('a running item of a dropped partition keeps its slot until it is done', () => {
  const lanes = some({ a: limit(2) });
  const [first, second, other] = [item('x'), item('x'), item('y', 'a', 1)];
  for (const one of [first, second, other]) lanes.add(one);
  expect(allNow(lanes)).toEqual([first, other]);
  lanes.drop(0);
  expect(lanes.waiting).toBe(0);
  const anew = item('x'); // the partition came back
  lanes.add(anew);
  expect(allNow(lanes)).toEqual([]);
  lanes.again(first, 0, 'in-order');
  expect(allNow(lanes, 10)).toEqual([anew]);
});

test('messages behind one of an unknown entry wait for it', () => {
  const lanes = some({ a: limit(9) });
  for (const one of [item('x', 'unknown'), item('x'), item('y')]) lanes.add(one);
  expect(allNow(lanes).map(({ lane }) => lane)).toEqual(['y']);
  expect(lanes.waiting).toBe(2);
  expect(lanes.wakeMs(0)).toBeUndefined();
});
