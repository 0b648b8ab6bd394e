/** Connects the test buses of one test: in-memory ports, virtual time, and a record of sent messages. */
import { buildBus, type BuiltBus } from '../bus/bus';
import type { BusParts } from '../bus/parts';
import { defaults } from '../config';
import { entriesOf, moduleOf } from '../contract/contract';
import { CONTRACT, type AnyContract, type AnyEntry } from '../contract/types';
import { memoryWorld, virtualClock, type VirtualClock } from '../memory';
import { memoryBusParts } from './parts';
import { recordLog, recordMessenger, type Tape } from './record';
import { mustBeSetting, type Settable } from './settable';
import type { SetOptions } from './types';

const settleMsMax = 5_000; // in real time, so that a handler that never ends fails the test instead of stalling it

export interface Network {
  readonly clock: VirtualClock;
  readonly tape: Tape;
  /** Adds an instance of `module`. Settings can then apply to the entries of the contract. */
  join(module: AnyContract | string): BuiltBus;
  /** See {@link TestBus.settled}. */
  settled(): Promise<void>;
  /** See {@link TestBus.set}. */
  set(key: string, value: string | number | boolean | null, options?: SetOptions): Promise<void>;
}

interface Member extends BuiltBus {
  readonly calls: ReadonlySet<{ readonly entry: string; readonly id: string }>;
}
const namedMax = 10;

export function openNetwork(): Network {
  const clock = virtualClock();
  const world = memoryWorld({ clock, sessionMs: defaults.sessionMs, stateBytesMax: 1_000_000 });
  const tape: Tape = { sent: [], parked: [] };
  const members: Member[] = [];
  const declared = new Map<string, AnyEntry>();
  const operator = world.process('operator').settings;

  function join(of: AnyContract | string): BuiltBus {
    const module = typeof of === 'string' ? of : of[CONTRACT];
    if (typeof of !== 'string') for (const entry of entriesOf(of).values()) declared.set(entry.name, entry);
    const calls: Member['calls'] & BusParts['calls'] = new Set();
    const instance = `${module}#${members.length + 1}`;
    const ports = { ...world.process(instance), clock };
    const parts = memoryBusParts(ports);
    const log = recordLog(ports.log, tape);
    const built = buildBus({ ...parts, log, messenger: recordMessenger(ports.messenger, tape), calls });
    members.push({ ...built, calls });
    return built;
  }
  async function settled(): Promise<void> {
    const giveUp = AbortSignal.timeout(settleMsMax);
    for (let quiet = 0; quiet < 2;) {
      if (giveUp.aborted) throw new Error(`not settled within ${settleMsMax} ms: ${describeBusy(members)}`);
      await clock.advance(0);
      // A handler can wait for real input, such as a file. A turn of the real event loop lets it arrive.
      await new Promise((resolve) => setImmediate(resolve));
      quiet = members.some((member) => member.busy()) ? 0 : quiet + 1;
    }
  }
  async function set(
    key: string,
    value: string | number | boolean | null,
    { unchecked = false }: SetOptions = {},
  ): Promise<void> {
    await Promise.all(members.map(({ opened }) => opened));
    if (value !== null && !unchecked) mustBeSetting(key, String(value), settable());
    const was = (await operator.get(key))?.version ?? 0;
    await operator.set(key, value === null ? null : String(value), was);
    await clock.advance(0);
  }
  /** Returns the kind of each entry and named listener that a setting can apply to, by name. */
  function settable(): ReadonlyMap<string, Settable> {
    const entries = [declared, ...members.map((member) => member.entries)].flatMap((some) => [...some.values()]);
    const listeners = members.flatMap((member) => member.listeners());
    return new Map([
      ...entries.filter(({ name }) => moduleOf({ name }) !== 'busbar').map(({ name, kind }) => [name, kind] as const),
      ...listeners.map((name) => [name, 'listener'] as const),
    ]);
  }
  return { clock, tape, join, settled, set };
}

function describeBusy(members: readonly Member[]): string {
  const running = members.flatMap(({ bus, calls }) =>
    [...calls].map(({ entry, id }) => `${entry} of ${bus.self.instance} (${id})`),
  );
  if (running.length === 0) return 'messages are still being sent and handled';
  const more = running.length > namedMax ? `, and ${running.length - namedMax} more` : '';
  return `the handler of ${running.slice(0, namedMax).join(', ')}${more} has not ended`;
}
