/** Opens the log and the messenger of one bus on Kafka, over one broker client. */
import { BusError } from '../base/errors';
import { closable, runAll, teardown, type Closable, type Step } from '../base/lifecycle';
import { namesIn } from '../format/names';
import type { Log } from '../ports/log';
import type { Messenger } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import type { ServerProbe } from '../ports/server-probe';
import { openKafkajs } from './client/connection-pool';
import { openKafkaLog } from './log';
import { openKafkaMessenger, type KafkaMessengerParts } from './messenger';
import { openOrDefer } from './messenger/deferred-messenger';
import { watchDepartures } from './messenger/departures';
import { openTransport } from './messenger/transport';
import type { Security } from './client/security';
import { Throttling } from './client/throttling';
import { probeBrokers } from './cluster/broker-probe';
import { replicasDefault, type TopicsOptions } from './cluster/topics';
import { ClusterMetadata } from './cluster/metadata';

export interface KafkaOptions
  extends TopicsOptions, Pick<KafkaMessengerParts, 'ns' | 'clock' | 'random' | 'notices' | 'inboxPartitions'> {
  /** `host:port` of some brokers. The addresses of the other brokers are requested from them. */
  readonly brokers: readonly string[];
  readonly security?: Security;
  /** Name of this instance, as brokers and other instances see it. */
  readonly name: string;
  /** Registry of running instances. It stays open when this is closed. */
  readonly registry: Registry;
  /**
   * Opens although the brokers do not respond. Until they do, requests and broadcasts reject with Unreachable, and the
   * instance is not announced.
   *
   * @default false
   */
  readonly opensWithoutBrokers?: boolean;
  /**
   * Opens for an inspection by an operator. Rejects with Unreachable if no instance was ever started, and creates
   * nothing. Gives up after two seconds without a response, and calls `waiting` with the broker that has not responded.
   */
  readonly look?: { readonly waiting: (message: string) => void };
}
/** Limits while an operator waits: of one request, of all tries of a request, and of opening the messenger. */
const lookRequestMs = 2_000;
const lookAskMs = 1_500;
const lookOpenMs = 2_000;
export interface Kafka extends Closable {
  readonly log: Log;
  readonly messenger: Messenger;
  /**
   * The given registry, for all components that watch instances. The messenger detects departures from these watches.
   * It announces nothing before the messenger is open.
   */
  readonly registry: Registry;
}

/**
 * Opens both. Resolves when packets for this instance reach it, or after two seconds without brokers if
 * `opensWithoutBrokers` is true. Otherwise it rejects with Unreachable if no packet arrives for ten seconds. Rejects
 * with Config or NotAllowed if the brokers refuse a request. Closing sends pending packets for at most a
 * second, and a goodbye. It must therefore be closed before the registry.
 */
export async function openKafka(options: KafkaOptions): Promise<Kafka> {
  const { brokers, ns, clock, notices, look, opensWithoutBrokers = false } = options;
  const { client, metadata, topics, log } = connect(options);
  const transport = openTransport(metadata, topics);
  const departures = watchDepartures(options.registry, clock);
  const { registry } = departures;
  const rest: readonly Step[] = [
    ['registry', () => departures.close()],
    ['messages', () => transport.close()],
    ['log', () => log.close()],
    ['connections', () => client.close()],
  ];
  try {
    if (look) await checkStarted(metadata, ns, brokers);
    const messengerParts = { ...options, transport, departures, ...(look && { openMs: lookOpenMs }) };
    const open = (signal?: AbortSignal): Promise<Messenger> =>
      openKafkaMessenger({ ...messengerParts, ...(signal && { signal }) });
    const hasResponded = (): boolean => metadata.updatedMs > -Infinity;
    const opened = opensWithoutBrokers
      ? await openOrDefer({ clock, notices, registry, open, hasResponded })
      : { messenger: await open(), registry, idle: () => Promise.resolve() };
    const { messenger, idle } = opened;
    const closing = teardown('Kafka', [['messenger', () => messenger.close()], ...rest, ['opening', idle]]);
    return { log, messenger, registry: opened.registry, ...closable(closing) };
  } catch (error) {
    await runAll(rest); // an error of closing must not hide why opening failed
    throw error;
  }
}

/** Opens the log alone, for a process that is no instance. Connections are opened by the first call. */
export function openKafkaLogOnly(options: LogOptions): Pick<Kafka, 'log'> & Closable {
  const { client, log } = connect(options);
  const closing = teardown('Kafka', [
    ['log', () => log.close()],
    ['connections', () => client.close()],
  ]);
  return { log, ...closable(closing) };
}
type LogOptions = Omit<KafkaOptions, 'registry' | 'inboxPartitions'>;

function connect(options: LogOptions) {
  const { brokers, security, ns, name: self, clock, random, notices, look } = options;
  const around = { clock, random, notices };
  const user = security?.sasl?.username;
  const throttling = new Throttling(clock, self, user);
  const client = openKafkajs({
    brokers,
    clientId: self,
    ...around,
    throttled: (request, ms) => throttling.add(request, ms),
    ...(security && { security }),
    ...(look && { requestMs: lookRequestMs, overdue: look.waiting }),
  });
  const metadata = new ClusterMetadata({
    client,
    ...around,
    brokers,
    throttling,
    user,
    ...(look && { requestMs: lookAskMs }),
  });
  // A command creates no topic but that of its own changes, which no instance needs.
  const creates = options.topics === 'verify' ? [] : [namesIn(ns).audit()];
  const topics: TopicsOptions = { ...options, ...(look && { topics: 'verify', creates }) };
  const log = openKafkaLog({ ...around, ...topics, client, metadata, self, ns });
  return { client, metadata, topics, log };
}

/** Options of {@link probeKafka}. */
export interface KafkaProbeOptions extends Pick<
  KafkaOptions,
  'brokers' | 'security' | 'clock' | 'random' | 'replicas'
> {
  /** Client id in the logs of the brokers. */
  readonly clientId: string;
}
/** Returns a probe of the brokers, with a client of its own. */
export function probeKafka(options: KafkaProbeOptions): ServerProbe {
  const { brokers, security, clientId, clock, random } = options;
  const client = openKafkajs({ brokers, clientId, clock, random, ...(security && { security }) });
  const replicas = options.replicas ?? Math.min(replicasDefault, brokers.length);
  return probeBrokers({ brokers, replicas, client, clock });
}

async function checkStarted(metadata: ClusterMetadata, ns: string, brokers: readonly string[]): Promise<void> {
  const inbox = namesIn(ns).inbox();
  if ((await metadata.findTopic(inbox)) !== undefined) return;
  const cause = `topic ${inbox} does not exist at ${brokers.join(',')}`;
  throw new BusError('Unreachable', `no bus was ever opened with ns ${ns} there: ${cause}`, {
    outcome: 'not-sent',
    waitedMs: 0,
    cause,
  });
}
