/** The Kafka log for the conformance suites: each process has its own broker client. */
import { systemClock, systemRandom, type Clock, type Random } from '../../src/base/clock';
import { openNotices, type Notice } from '../../src/base/notices';
import { openKafkajs } from '../../src/kafka/client/connection-pool';
import { openKafkaLog, type KafkaLogParts } from '../../src/kafka/log';
import type { BrokerClient } from '../../src/kafka/client/broker-client';
import type { Log } from '../../src/ports/log';
import type { TestPorts, TestProcess } from './conformance';
import { gate, type Gate } from '../kafka/gate';

export interface KafkaProcess {
  readonly log: Log;
  readonly gate: Gate;
  readonly heard: readonly Notice[];
  close(): Promise<void>;
}
const heardMax = 10_000;

/** Opens one instance. `gate.kill`, followed by closing its broker client, ends it as a crash does. */
export function openProcess(
  self: string,
  client: BrokerClient,
  around: { readonly clock: Clock; readonly random: Random },
  more: Partial<KafkaLogParts> = {},
): KafkaProcess {
  const notices = openNotices();
  const heard: Notice[] = [];
  notices.watch((notice) => void (heard.length < heardMax && heard.push(notice)));
  const gated = gate(client, around.clock);
  const { random } = around;
  const log = openKafkaLog({ client: gated.client, clock: gated.clock, random, notices, self, ns: '', ...more });
  return {
    log,
    gate: gated,
    heard,
    async close() {
      if (!gated.isDead) await log.close();
      await client.close();
    },
  };
}

export const realTime = { clock: systemClock, random: systemRandom };

export function openRealClient(brokers: string, clientId: string): BrokerClient {
  return openKafkajs({ brokers: brokers.split(','), clientId, ...realTime });
}

let made = 0;
export function openRealProcess(brokers: string, more: Partial<KafkaLogParts> = {}, self = `p${++made}`): KafkaProcess {
  return openProcess(self, openRealClient(brokers, self), realTime, more);
}

/** Returns the part of a process that the suites for the log and groups use. */
export function testProcess(one: KafkaProcess, client: BrokerClient, pausedMs: () => Promise<void>): TestProcess {
  const rest: Omit<TestProcess, 'log' | 'crash' | 'pause'> = { ...noOtherPorts };
  return {
    ...rest,
    log: one.log,
    async crash() {
      one.gate.kill();
      await client.close();
    },
    async pause() {
      one.gate.shut();
      await pausedMs();
      return () => one.gate.open();
    },
  };
}

/** Stub of the ports that these suites close, but do not use. */
const nothing = { close: () => Promise.resolve() };
// Only `close` is called.
export const noOtherPorts = { messenger: nothing, registry: nothing, settings: nothing } as unknown as Pick<
  TestProcess,
  'messenger' | 'registry' | 'settings'
>;

/** Opens the ports on real servers. */
export function openKafkaLogPorts(brokers: string): Promise<TestPorts> {
  const sessionMs = 6_000; // a process or a broker that pauses for less than 0.8 of it loses nothing
  const wires: BrokerClient[] = [];
  return Promise.resolve({
    sessionMs,
    patienceMs: 90_000,
    recordsOutside: true,
    process() {
      const self = `p${++made}`;
      const client = openRealClient(brokers, self);
      wires.push(client);
      const one = openProcess(self, client, realTime);
      return Promise.resolve(testProcess(one, client, () => later(sessionMs * 1.5)));
    },
    async wait(condition, withinMs, what) {
      const untilMs = performance.now() + withinMs;
      while (!(await condition())) {
        if (performance.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
        await later(20);
      }
    },
    async close() {
      await Promise.all(wires.map((client) => client.close()));
    },
  });
}

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
