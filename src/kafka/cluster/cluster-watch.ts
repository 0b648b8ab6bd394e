/**
 * Reports changes that operators and other tools make to a cluster while an instance uses it. It compares states, not
 * events. It reviews what this process knows every second, and reads the settings of its topics every minute.
 */
import { every, sleep, type Timer } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import type { Closable } from '../../base/lifecycle';
import { openStates, type States } from '../../base/notices';
import { KafkaError } from '../protocol/errors';
import type { HeldPartition } from './held-partitions';
import type { OwnTopic } from './own-topics';
import { findingsOf, type Finding } from './topic-findings';
import { valuesOf } from './topics';
import { openTransactionsIn, describeOpen } from './transactions';
import type { ClusterMetadata } from './metadata';

const reviewIntervalMs = 1_000;
/**
 * Interval between reads of settings. Each wait is a random 50-100 % of it, so that instances read at different times.
 */
const settingsIntervalMs = 60_000;
/** A topic is reported as absent after this time, since a broker that has just started can lack it for a moment. */
const absentReportMs = 2_000;
/** A missing leader or replica is reported after this time. Elections, and replicas catching up, take less. */
const lostReplicasReportMs = 5_000;
/** An open transaction that blocks readers is reported after this time. Healthy producers end theirs earlier. */
const heldReportMs = 10_000;
/** Maximum number of a topic's partitions that a reason describes, so that it stays readable. */
const describedMax = 3;
/** Maximum number of topics in one request for settings, to bound its response. */
const namesMax = 100;

export class ClusterWatch implements Closable {
  readonly #states: States;
  readonly #closing = new AbortController();
  #timer: Timer | undefined;
  /** Time at which each current finding began, by topic and kind. */
  #sinceMs = new Map<string, number>();
  /** Held partitions and their offsets as last reported, by topic, so that each state is reported once. */
  readonly #held = new Map<string, string>();

  constructor(private readonly metadata: ClusterMetadata) {
    this.#states = openStates(metadata.parts.notices);
    metadata.own.onFirst(() => this.#start());
  }
  #start(): void {
    if (this.#closing.signal.aborted) return;
    this.#timer = every(this.metadata.parts.clock, reviewIntervalMs, () => this.#review());
    void this.#readSettings();
  }

  close(): Promise<void> {
    this.#closing.abort();
    this.#timer?.cancel();
    return Promise.resolve();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #review(): void {
    if (this.metadata.failing) return; // no broker answers; the cluster metadata reports it
    const before = this.#sinceMs;
    this.#sinceMs = new Map();
    for (const own of this.metadata.own.all()) this.#reviewTopic(own, before);
    this.#reviewWrites();
    this.#reviewQuota();
    this.#reviewHeld();
  }

  #reviewTopic(own: OwnTopic, before: ReadonlyMap<string, number>): void {
    const { name } = own.topic;
    const nowMs = this.metadata.parts.clock.mono();
    const found = this.#findings(own).filter(({ kind, afterMs }) => {
      const key = `${name} ${kind}`;
      const sinceMs = before.get(key) ?? nowMs;
      this.#sinceMs.set(key, sinceMs);
      return nowMs - sinceMs >= afterMs;
    });
    const part = `topic ${name}` as const;
    if (found.length === 0)
      return this.#states.works(part, `topic ${name} has the settings, partitions and replicas that it needs`);
    const ready = found.every((finding) => finding.ready);
    this.#states.fails(part, found.map(({ text }) => text).join('. '), { ready });
  }
  #findings(own: OwnTopic): readonly Finding[] {
    const { name } = own.topic;
    const absent = {
      kind: 'absent',
      ready: false,
      text: this.metadata.own.describeAbsent(name),
      afterMs: absentReportMs,
    } as const;
    if (this.metadata.absentMs(name) > 0) return [absent];
    const seen = this.metadata.seen(name);
    return seen ? findingsOf(own, seen, lostReplicasReportMs) : [];
  }

  #reviewWrites(): void {
    for (const [topic, reason] of this.metadata.writes.review()) {
      const part = `writing ${topic}` as const;
      if (reason === undefined) this.#states.works(part, `the brokers accept appends to ${topic} again`);
      else this.#states.fails(part, reason);
    }
  }

  #reviewQuota(): void {
    const delayed = this.metadata.parts.throttling?.review();
    if (delayed === undefined) this.#states.works('quota', 'the brokers no longer delay this client');
    else this.#states.fails('quota', delayed, { ready: true });
  }

  #reviewHeld(): void {
    const held = this.metadata.held.heldFor(heldReportMs);
    for (const topic of this.#held.keys()) {
      if (held.has(topic)) continue;
      this.#held.delete(topic);
      this.#states.works(`transactions in ${topic}`, `no open transaction holds a partition of ${topic}`);
    }
    for (const [topic, partitions] of held) {
      const key = partitions.map(({ partition, from }) => `${partition}@${from}`).join();
      if (this.#held.get(topic) === key) continue;
      this.#held.set(topic, key);
      void this.#reportHeld(topic, partitions, key);
    }
  }
  async #reportHeld(topic: string, partitions: readonly HeldPartition[], key: string): Promise<void> {
    const count = partitions.reduce((sum, one) => sum + one.count, 0);
    const records = `${count} ${count === 1 ? 'record' : 'records'} of ${topic} cannot be read`;
    const by = await this.#describeHolders(topic, partitions);
    if (this.#held.get(topic) !== key) return; // the transactions have ended or changed since
    this.#states.fails(`transactions in ${topic}`, `${records} while transactions are open: ${by}`, { ready: true });
  }
  async #describeHolders(topic: string, partitions: readonly HeldPartition[]): Promise<string> {
    const nowMs = this.metadata.parts.clock.now();
    const some = partitions.slice(0, describedMax);
    const more = partitions.length > some.length ? `; and ${partitions.length - some.length} more partitions` : '';
    try {
      const topicPartitions = some.map(({ partition }) => ({ topic, partition }));
      const open = await openTransactionsIn(this.metadata, topicPartitions);
      if (open.length > 0) return open.map((one) => describeOpen(one, nowMs)).join('; ') + more;
    } catch {
      // Brokers are unreachable, or do not describe transactions to this user. An operator can run the command below.
    }
    const places = some.map(({ partition, from }) => `partition ${partition} from offset ${from}`).join(', ');
    const command = `kafka-transactions.sh --bootstrap-server ${this.metadata.bootstrap} find-hanging --topic ${topic}`;
    return `${places}${more}. Find them with ${command}`;
  }

  async #readSettings(): Promise<void> {
    const { clock, random } = this.metadata.parts;
    while (!this.#closing.signal.aborted) {
      await sleep(clock, settingsIntervalMs * (0.5 + random.next() / 2), this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      await this.metadata.refresh();
      const names = this.metadata.own.all().map(({ topic }) => topic.name);
      for (let i = 0; i < names.length; i += namesMax) await this.#readSettingsOf(names.slice(i, i + namesMax));
    }
  }
  async #readSettingsOf(names: readonly string[]): Promise<void> {
    try {
      const node = await this.metadata.controller();
      const described = await this.metadata.parts.client.describeTopicConfigs({ node, channel: 'admin' }, names);
      for (const one of described) if (one.error === null) this.metadata.own.learn(one.topic, valuesOf(one));
      const refused = described.find(({ error }) => error?.fatal)?.error;
      if (refused) this.#describeUnreadable(refused);
      else this.#states.works('topic settings', 'the settings of topics can be read');
    } catch (error) {
      if (error instanceof KafkaError && error.fatal) this.#describeUnreadable(error); // else: retried
    }
  }
  #describeUnreadable(error: KafkaError): void {
    const cause = errorMessage(error);
    const text = `changes of topic settings are not detected, because the settings cannot be read: ${cause}`;
    this.#states.fails('topic settings', text, { ready: true });
  }
}
