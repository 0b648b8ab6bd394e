/** Opens log and post of one bus on Kafka, over one wire. */
import { BusError } from '../base/errors';
import { closable, runAll, teardown, type Closable, type Step } from '../base/lifecycle';
import { namesIn } from '../format/names';
import type { Log } from '../ports/log';
import type { Post } from '../ports/messenger';
import type { Registry } from '../ports/registry';
import { openKafkajs } from './client/connection-pool';
import { openKafkaLog } from './log';
import { openKafkaPost, type KafkaPostParts } from './messenger';
import { watchLiving } from './messenger/departures';
import { openRoads } from './messenger/transport';
import type { Security } from './client/security';
import { Throttling } from './client/throttling';
import type { TopicsOptions } from './cluster/topics';
import { View } from './cluster/metadata';

export interface KafkaOptions
  extends TopicsOptions, Pick<KafkaPostParts, 'ns' | 'clock' | 'random' | 'notices' | 'inboxPartitions'> {
  /** `host:port` of some brokers; the others are learnt from them. */
  readonly brokers: readonly string[];
  readonly security?: Security;
  /** Name of this instance, as brokers and others see it. */
  readonly name: string;
  /** Who is alive; stays open when this is closed. */
  readonly registry: Registry;
  /**
   * Only to look, for a person who waits: rejects with Unreachable where nothing was ever started, and creates nothing.
   * Gives up after two seconds without an answer, and calls `waiting` with the broker that has not answered.
   */
  readonly look?: { readonly waiting: (message: string) => void };
}
/** Limits of one request, and of all tries of one question, while a person waits. */
const lookRequestMs = 2_000;
const lookAskMs = 1_500;
const lookOpenMs = 2_000;
export interface Kafka extends Closable {
  readonly log: Log;
  readonly post: Post;
  /** The one given, for all who watch: the post learns from what they see who is gone. */
  readonly registry: Registry;
}

/**
 * Resolves when packets for this instance reach it. Rejects with Unreachable when brokers let nothing through for ten
 * seconds, and with Config or NotAllowed when they refuse. Closing sends what was handed over, a second at most, and
 * says goodbye, so it comes before the registry's.
 */
export async function openKafka(options: KafkaOptions): Promise<Kafka> {
  const { brokers, security, ns, name: self, clock, random, notices, look } = options;
  const around = { clock, random, notices };
  const user = security?.sasl?.username;
  const throttling = new Throttling(clock, self, user);
  const wire = openKafkajs({
    brokers,
    clientId: self,
    ...around,
    throttled: (request, ms) => throttling.add(request, ms),
    ...(security && { security }),
    ...(look && { requestMs: lookRequestMs, overdue: look.waiting }),
  });
  const view = new View({ wire, ...around, brokers, throttling, user, ...(look && { askMs: lookAskMs }) });
  const topics: TopicsOptions = { ...options, ...(look && { topics: 'verify' }) };
  const log = openKafkaLog({ ...around, ...topics, wire, view, self, ns });
  const roads = openRoads(view, topics);
  const living = watchLiving(options.registry, clock);
  const rest: readonly Step[] = [
    ['registry', () => living.close()],
    ['messages', () => roads.close()],
    ['log', () => log.close()],
    ['connections', () => wire.close()],
  ];
  try {
    if (look) await checkStarted(view, ns, brokers);
    const post = await openKafkaPost({ ...options, roads, living, ...(look && { openMs: lookOpenMs }) });
    const closing = closable(teardown('Kafka', [['post', () => post.close()], ...rest]));
    return { log, post, registry: living.registry, ...closing };
  } catch (error) {
    await runAll(rest); // the caller must see why it could not be opened
    throw error;
  }
}

async function checkStarted(view: View, ns: string, brokers: readonly string[]): Promise<void> {
  const inbox = namesIn(ns).inbox();
  if ((await view.find(inbox)) !== undefined) return;
  const cause = `there is no topic ${inbox} at ${brokers.join(',')}`;
  throw new BusError('Unreachable', `nothing was ever started with ns ${ns} there: ${cause}`, {
    outcome: 'not-sent',
    waitedMs: 0,
    cause,
  });
}
