/** Provides module tests without processes and without waiting: `const bus = testBus(photos)`. */
import { BusError, type BusCode, type BusDetails } from '../base/errors';
import type { Bus } from '../bus/types';
import { CONTRACT, type AnyContract, type AnyEntry, type Request } from '../contract/types';
import type { Handlers } from '../delivery/handler';
import { peerOf } from '../delivery/peer';
import { openNetwork, type Network } from './network';
import type { TestBus } from './types';

export type { ParkedMessage, SentMessage, SetOptions, TestBus } from './types';

/**
 * Opens a bus of `module` on a network of its own: the real bus on ports in memory, in virtual time. It needs no close.
 *
 * @example
 * import { testBus } from 'busbar/testing';
 *
 * const bus = testBus(photos);
 * await bus.serve(photos, handlers);
 * await bus.as('web').submit(photos.resize, { photoId: 'p1' });
 * await bus.settled();
 * console.log(bus.parked(photos.resize)); // []
 */
export function testBus(module: AnyContract | string = 'test'): TestBus {
  return onNetwork(openNetwork(), new Map(), module);
}

interface Fault {
  readonly error: BusError;
  times: number;
}
type Faults = Map<string, Fault>;

function onNetwork(network: Network, faults: Faults, module: AnyContract | string): TestBus {
  const { bus, opened } = network.join(module);
  opened.catch(() => undefined); // the next call on the bus rejects with the same error
  const failing = (entry: AnyEntry): void => {
    const fault = faults.size > 0 ? faults.get(entry.name) : undefined;
    if (fault && fault.times-- > 0) throw fault.error;
  };
  const { tape, clock } = network;
  const extra: Omit<TestBus, keyof Bus> = {
    clock: { now: () => clock.now(), advance: (ms) => clock.advance(ms) },
    as: (other) => onNetwork(network, faults, other),
    stub: (contract, handlers) => stub(network, contract, handlers),
    settled: () => network.settled(),
    set: (key, value, options) => network.set(key, value, options),
    // The casts restore the types of the entry: the recorded values passed its schema.
    sent: (entry) =>
      tape.sent.filter((one) => one.entry === entry.name).map((one) => ({ ...one, from: peerOf(one.from) })) as never,
    parked: (entry) => tape.parked.filter((one) => one.entry === entry.name) as never,
    fault<C extends BusCode>(entry: AnyEntry, code: C, details: BusDetails[C], times = 1) {
      faults.set(entry.name, {
        // The cast is safe: the parameters above check the details against the code.
        error: new BusError<BusCode>(code, `${entry.name}: ${code}, set by the test`, details as BusDetails[BusCode]),
        times,
      });
    },
  };
  return Object.assign(withFaults(bus, failing), extra);
}

const senders = ['request', 'requestAll', 'submit', 'submitAll', 'broadcast', 'publish', 'publishAll'] as const;

/** Returns the same bus, but its sending verbs call `failing` first. */
function withFaults(bus: Bus, failing: (entry: AnyEntry) => void): Bus {
  const verbs: Record<string, unknown> = {};
  for (const verb of senders) {
    // The cast lets one wrapper serve seven signatures. Each call passes its arguments on unchanged.
    const send = bus[verb] as (...call: unknown[]) => Promise<unknown>;
    verbs[verb] = async (entry: AnyEntry, ...rest: unknown[]) => {
      failing(entry);
      return send(entry, ...rest);
    };
  }
  verbs['tryRequest'] = async (entry: AnyEntry, ...[input, options]: [never, never]) => {
    try {
      failing(entry);
    } catch (error) {
      return { ok: false, error };
    }
    return bus.tryRequest(entry as Request, input, options); // the types of the caller check the arguments
  };
  return Object.assign({ ...bus }, verbs);
}

function stub<C extends AnyContract>(network: Network, contract: C, handlers: Partial<Handlers<C>>): Promise<Closer> {
  const { bus } = network.join(contract);
  return bus.serve(contract, withRefusals(contract, handlers));
}
type Closer = Awaited<ReturnType<Bus['serve']>>;

/** Returns handlers for all entries. Each one that the stub leaves out throws an error that names it. */
function withRefusals<C extends AnyContract>(contract: C, handlers: Partial<Handlers<C>>): Handlers<C> {
  const refuse = (name: string) => () => {
    throw new Error(`the stub of ${contract[CONTRACT]} has no handler '${name}'`);
  };
  const named = Object.entries<AnyEntry>(contract).filter(([, { kind }]) => kind !== 'event');
  const all = Object.fromEntries(named.map(([name]) => [name, refuse(name)]));
  return { ...all, ...handlers } as unknown as Handlers<C>; // complete: a handler for each name of the contract
}
