/** A Kafka cluster in memory that implements the broker client: brokers die, freeze and move leaderships by script. */
import type { Clock, Timer } from '../../src/base/clock';
import { closable } from '../../src/base/lifecycle';
import { KafkaError } from '../../src/kafka/protocol/errors';
import type * as port from '../../src/kafka/protocol/types';
import type { Route, BrokerClient } from '../../src/kafka/client/broker-client';
import type { TopicPartition } from '../../src/kafka/protocol/types';
import type { LogRecord, Stored } from '../../src/ports/log';
import { FakeGroup } from './fake-coordinator';
import { FakeProducers } from './fake-producer-states';

/** A request in flight, as a script receives it. */
export interface FakeRequest {
  readonly name: Exclude<keyof BrokerClient, symbol>;
  readonly node: number;
  readonly channel: string;
  readonly client: string;
  readonly args: readonly unknown[];
  /** Sequence number among the requests of this name, from 1. */
  readonly n: number;
  readonly atMs: number;
}
/**
 * lost: the request is executed, but not answered · never: it does not arrive and is not answered · an error: it is
 * rejected as a whole, executed (`done`) or not · delayMs: it is executed with this delay.
 */
export type FakeFault =
  'lost' | 'never' | { readonly error: string; readonly done?: boolean } | { readonly delayMs: number };

export interface FakeNode {
  readonly node: number;
  up: boolean;
  frozen: boolean;
  /** Continuations of requests that wait until the broker is thawed. */
  readonly waiting: (() => void)[];
  readonly flights: Set<(error: KafkaError) => void>;
}
export interface FakePartition {
  leader: number | null;
  /** Leader epoch: rises with each election. */
  epoch: number;
  start: number;
  records: Stored[];
  end: number;
  /** High watermark, which lags after a restart of the leader. @default the end of the log */
  high?: number;
  producers?: FakeProducers;
  /** A previous leader that does not know of the election: until `untilMs` it answers fetches without new records. */
  deposed?: { readonly node: number; readonly untilMs: number };
  /** An open transaction: records from `from` on cannot be read before it ends. */
  open?: FakeTransaction | undefined;
}
export interface FakeTransaction {
  readonly from: number;
  readonly producerId: number;
  readonly id: string;
  readonly startMs: number;
  readonly timeoutMs: number;
}
export interface FakeTopic {
  readonly name: string;
  readonly configs: Record<string, string>;
  readonly partitions: FakePartition[];
  replicas: number;
}
/** One connection, on which a broker answers requests in order. */
interface Connection {
  open: boolean;
  tail: Promise<unknown>;
  readonly rejects: Set<(error: KafkaError) => void>;
}

const recordBytes = ({ key, value }: LogRecord): number => (key?.length ?? 0) + (value?.length ?? 0);

export class FakeCluster {
  /** A partitioned node that does not know of new leaders: it still answers, without new records. */
  cutOff: number | undefined;
  /** Error code that Metadata returns for every topic. */
  faultOfTopics: string | undefined;
  /** Makes Metadata list no brokers, as from a broker that has not joined the cluster yet. */
  nameless = false;
  readonly nodes = new Map<number, FakeNode>();
  readonly topics = new Map<string, FakeTopic>();
  readonly groups = new Map<string, FakeGroup>();
  readonly coordinators = new Map<string, number>();
  readonly requests: FakeRequest[] = [];
  /** Returns the fault of a request, or undefined for none. */
  script: ((request: FakeRequest) => FakeFault | undefined) | undefined;
  /** Delay of each request and of each answer. */
  latencyMs = 0;
  /** Returns the error for a produced batch, or undefined to write it. */
  refuse: ((batch: port.Batch) => { error: string; refused?: port.Produced['refused'] } | undefined) | undefined;
  /** Grants users the right DescribeConfigs on the cluster. */
  configsReadable = true;
  /** The setting `offset.metadata.max.bytes`. */
  offsetMetadataMax = 4_096;
  /** The setting `producer.id.expiration.ms`: a leader recognizes copies of a producer's last batches for this time. */
  producerExpiryMs = 86_400_000;
  #producerIds = 0;
  /** Error code that fetches return instead of records. */
  faultOfReads: string | undefined;
  /** An unreadable batch that ends before `until`. @default `code` CORRUPT_MESSAGE */
  spoil: (TopicPartition & { readonly offset: number; readonly until: number; readonly code?: string }) | undefined;
  readonly #counts = new Map<string, number>();
  readonly #wakes = new Set<() => void>();

  constructor(
    readonly clock: Clock,
    count = 3,
  ) {
    for (let node = 1; node <= count; node++) {
      this.nodes.set(node, { node, up: true, frozen: false, waiting: [], flights: new Set() });
    }
  }

  // Faults of the cluster

  kill(node: number): void {
    this.cut(node);
    this.moveFrom(node);
  }
  /** Ends the broker without electing new leaders, as before its session has expired. */
  cut(node: number): void {
    const one = this.node(node);
    one.up = false;
    for (const reject of one.flights) reject(new KafkaError('CONNECTION', `broker ${node} died`));
  }
  /** Moves its leaderships and coordinated groups to another broker, as when it is fenced. */
  moveFrom(node: number): void {
    const next = [...this.nodes.values()].find((other) => other.up && !other.frozen && other.node !== node)?.node;
    for (const topic of this.topics.values()) {
      for (const partition of topic.partitions) if (partition.leader === node) elect(partition, next ?? null);
    }
    for (const [group, coordinator] of this.coordinators) {
      if (coordinator !== node || next === undefined) continue;
      this.coordinators.set(group, next);
      this.groups.get(group)?.takeOver();
    }
    this.#wake();
  }
  start(node: number): void {
    Object.assign(this.node(node), { up: true, frozen: false });
    for (const topic of this.topics.values()) {
      for (const partition of topic.partitions) if (partition.leader === null) elect(partition, node);
    }
  }
  freeze(node: number): void {
    this.node(node).frozen = true;
  }
  thaw(node: number): void {
    const one = this.node(node);
    one.frozen = false;
    for (const go of one.waiting.splice(0)) go();
  }
  /** Elects a leader. The previous one detects it `learnsMs` after the metadata changed. */
  lead(topic: string, partition: number, node: number | null, learnsMs = 0): void {
    const one = this.partition({ topic, partition });
    const { leader } = one;
    elect(one, node);
    if (leader !== null && leader !== node && learnsMs > 0) {
      one.deposed = { node: leader, untilMs: this.clock.mono() + learnsMs };
      this.clock.after(learnsMs, () => this.#wake());
    } else this.#wake();
  }
  close(): void {
    for (const group of this.groups.values()) group.close();
  }

  node(node: number): FakeNode {
    const found = this.nodes.get(node);
    if (!found) throw new KafkaError('UNKNOWN_NODE', `broker ${node}`, { sent: false });
    return found;
  }
  partition({ topic, partition }: TopicPartition): FakePartition {
    const found = this.topics.get(topic)?.partitions[partition];
    if (!found) throw new KafkaError('UNKNOWN_TOPIC_OR_PARTITION', `${topic}/${partition}`);
    return found;
  }
  group(name: string): FakeGroup {
    const found = this.groups.get(name) ?? new FakeGroup(name, this.clock);
    this.groups.set(name, found);
    return found;
  }
  values(topic: string, partition = 0): string[] {
    return this.partition({ topic, partition }).records.map(({ value }) => Buffer.from(value ?? []).toString());
  }
  asked(name: FakeRequest['name']): FakeRequest[] {
    return this.requests.filter((request) => request.name === name);
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }
  #coordinates(group: string, node: number): FakeGroup {
    if (this.coordinators.get(group) !== node) throw new KafkaError('NOT_COORDINATOR', group);
    return this.group(group);
  }

  // Answers of the brokers

  /** Opens the broker client of one process, with its own connections. */
  wire(client: string): BrokerClient {
    const connections = new Map<string, Connection>();
    let closed = false;
    const connection = ({ node, channel }: Route): Connection => {
      const key = `${channel}@${node}`;
      const found = connections.get(key);
      if (found?.open) return found;
      const made = { open: true, tail: Promise.resolve(), rejects: new Set<(error: KafkaError) => void>() };
      connections.set(key, made);
      return made;
    };
    const ask = <T>(
      name: FakeRequest['name'],
      at: Route,
      args: readonly unknown[],
      timeoutMs: number,
      act: () => T | Promise<T>,
    ): Promise<T> => {
      if (closed) return Promise.reject(new KafkaError('CLOSED', 'the Kafka client was closed', { sent: false }));
      const n = (this.#counts.get(name) ?? 0) + 1;
      this.#counts.set(name, n);
      const request: FakeRequest = {
        name,
        node: at.node,
        channel: at.channel,
        client,
        args,
        n,
        atMs: this.clock.mono(),
      };
      this.requests.push(request);
      return this.#carry(connection(at), request, timeoutMs, act);
    };
    const anyNode = (): Route => {
      const up = [...this.nodes.values()].find((node) => node.up && !node.frozen);
      if (!up) throw new KafkaError('CONNECTION', 'no broker answers', { sent: false });
      return { node: up.node, channel: 'admin' };
    };
    const attempt = async <T>(
      name: FakeRequest['name'],
      args: readonly unknown[],
      ms: number,
      act: () => T,
    ): Promise<T> => ask(name, anyNode(), args, ms, act);
    return {
      metadata: (names, ms = 5_000) => attempt('metadata', [names], ms, () => this.#metadata(names)),
      findCoordinator: (group, ms = 5_000) => attempt('findCoordinator', [group], ms, () => this.#find(group)),
      initProducerId: (ms = 5_000) => attempt('initProducerId', [], ms, () => ++this.#producerIds),
      produce: (at, batches, ms) =>
        ask('produce', at, [batches], ms, () => batches.map((batch) => this.#produce(at, batch))),
      fetch: (at, asked, signal) => {
        const answer = ask('fetch', at, [asked], asked.maxWaitMs + (asked.spareMs ?? 2_000), () =>
          this.#fetch(at, asked),
        );
        return signal ? orNothing(answer, signal) : answer;
      },
      listOffsets: (at, asked, ms = 5_000) =>
        ask('listOffsets', at, [asked], ms, () => asked.map((one) => this.#offset(at, one))),
      deleteRecords: (at, asked, ms = 5_000) =>
        ask('deleteRecords', at, [asked], ms, () => asked.map((one) => this.#trim(at, one))),
      joinGroup: (at, asked) =>
        ask('joinGroup', at, [asked], asked.rebalanceMs + 2_000, () =>
          this.#coordinates(asked.group, at.node).join(asked, client),
        ),
      syncGroup: (at, as, given, ms) =>
        ask('syncGroup', at, [as, given], ms, () => this.#coordinates(as.group, at.node).sync(as, given)),
      heartbeat: (at, as, ms = 5_000) =>
        ask('heartbeat', at, [as], ms, () => this.#coordinates(as.group, at.node).heartbeat(as)),
      leaveGroup: (at, group, memberId, ms = 5_000) =>
        ask('leaveGroup', at, [group, memberId], ms, () => this.#coordinates(group, at.node).leave(memberId)),
      offsetCommit: (at, as, places, ms = 5_000) =>
        ask('offsetCommit', at, [as, places], ms, () => this.#commit(at, as, places)),
      offsetFetch: (at, group, topicPartitions, ms = 5_000) =>
        ask('offsetFetch', at, [group, topicPartitions], ms, () => this.#offsets(at, group, topicPartitions)),
      createTopics: (at, topics, ms = 5_000) =>
        ask('createTopics', at, [topics], ms, () => topics.map((one) => this.#create(one))),
      deleteTopics: (at, names, ms = 5_000) =>
        ask('deleteTopics', at, [names], ms, () =>
          names.map((topic) => ({ topic, error: this.topics.delete(topic) ? null : new KafkaError('NONE', topic) })),
        ),
      createPartitions: () => Promise.reject(new KafkaError('UNSUPPORTED_VERSION', 'createPartitions')),
      describeTopicConfigs: (at, names, ms = 5_000) =>
        ask('describeTopicConfigs', at, [names], ms, () => names.map((name) => this.#configs(name))),
      incrementalAlterConfigs: () => Promise.reject(new KafkaError('UNSUPPORTED_VERSION', 'incrementalAlterConfigs')),
      describeProducers: (at, topicPartitions, ms = 5_000) =>
        ask('describeProducers', at, [topicPartitions], ms, () =>
          topicPartitions.map((one) => this.#producers(at, one)),
        ),
      listTransactions: (at, ids, ms = 5_000) =>
        ask('listTransactions', at, [ids], ms, () =>
          this.#transactions(at).filter(({ producerId }) => ids.includes(producerId)),
        ),
      describeTransactions: (at, ids, ms = 5_000) =>
        ask('describeTransactions', at, [ids], ms, () => {
          const more = { error: null, state: 'Ongoing', epoch: 0 };
          return this.#transactions(at).flatMap((one) => (ids.includes(one.id) ? [{ ...one, ...more }] : []));
        }),
      describeBrokerConfigs: (at, _names, ms = 5_000) =>
        ask('describeBrokerConfigs', at, [], ms, () => {
          if (!this.configsReadable) throw new KafkaError('CLUSTER_AUTHORIZATION_FAILED', 'broker');
          return { 'offset.metadata.max.bytes': `${this.offsetMetadataMax}` };
        }),
      listGroups: (at, ms = 5_000) =>
        ask('listGroups', at, [], ms, () =>
          [...this.groups.keys()]
            .filter((group) => this.coordinators.get(group) === at.node)
            .map((group) => ({ group, protocolType: 'consumer' })),
        ),
      deleteGroups: (at, groups, ms = 5_000) =>
        ask('deleteGroups', at, [groups], ms, () => groups.map((group) => this.#deleteGroup(at, group))),
      describeGroups: (at, groups, ms = 5_000) =>
        ask('describeGroups', at, [groups], ms, () => groups.map((group) => this.#describe(at, group))),
      ...closable(() => {
        closed = true;
        for (const one of connections.values()) {
          one.open = false;
          for (const reject of one.rejects) reject(new KafkaError('CLOSED', 'the Kafka client was closed'));
        }
        return Promise.resolve();
      }),
    };
  }

  #carry<T>(connection: Connection, request: FakeRequest, timeoutMs: number, act: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const node = this.nodes.get(request.node);
      if (!node?.up) return reject(new KafkaError('CONNECTION', `no broker at ${request.node}`, { sent: false }));
      const fault = this.script?.(request);
      const settle = (): void => {
        timer.cancel();
        connection.rejects.delete(fail);
        node.flights.delete(fail);
      };
      const fail = (error: KafkaError): void => {
        settle();
        reject(error);
      };
      const timer: Timer = this.clock.after(timeoutMs, () => {
        fail(new KafkaError('DEADLINE', `${request.name}: no answer of broker ${node.node} in ${timeoutMs} ms`));
        connection.open = false;
        for (const other of connection.rejects) other(new KafkaError('CONNECTION', 'closed after a deadline'));
      });
      connection.rejects.add(fail);
      node.flights.add(fail);
      const happen = async (): Promise<void> => {
        const delayMs = this.latencyMs + (typeof fault === 'object' && 'delayMs' in fault ? fault.delayMs : 0);
        if (delayMs > 0) await new Promise<void>((go) => this.clock.after(delayMs, go));
        if (node.frozen) await new Promise<void>((go) => node.waiting.push(go));
        if (!node.up || fault === 'never') return;
        if (typeof fault === 'object' && 'error' in fault) {
          if (fault.done) await act();
          return fail(new KafkaError(fault.error, 'by script'));
        }
        try {
          const value = await act();
          if (fault === 'lost') return;
          if (this.latencyMs > 0) await new Promise<void>((go) => this.clock.after(this.latencyMs, go));
          if (node.frozen) await new Promise<void>((go) => node.waiting.push(go));
          settle();
          resolve(value);
        } catch (error) {
          fail(error as KafkaError); // this block throws only KafkaErrors
        }
      };
      // A request that is never answered does not block the next one on its connection.
      connection.tail = connection.tail.then(() => (fault === 'lost' || fault === 'never' ? void happen() : happen()));
    });
  }

  #metadata(names: readonly string[] | null): port.Metadata {
    const up = this.nameless ? [] : [...this.nodes.values()].filter((node) => node.up);
    const topic = (name: string): port.TopicMetadata => {
      const found = this.topics.get(name);
      const fault = this.faultOfTopics ?? (found ? undefined : 'UNKNOWN_TOPIC_OR_PARTITION');
      const error = fault === undefined ? null : new KafkaError(fault, name);
      if (this.faultOfTopics) return { name, error, internal: false, partitions: [] };
      const partitions = (found?.partitions ?? []).map(({ leader, epoch }, partition) => {
        const replicas = [...this.nodes.keys()].slice(0, found?.replicas);
        const inSync = replicas.filter((node) => this.nodes.get(node)?.up);
        return { partition, leader, epoch, replicas, inSync };
      });
      return { name, error, internal: false, partitions };
    };
    return {
      cluster: 'fake',
      controller: up[0]?.node ?? -1,
      nodes: up.map(({ node }) => ({ node, host: 'here', port: node })),
      topics: (names ?? [...this.topics.keys()]).map(topic),
    };
  }
  #find(group: string): number {
    const known = this.coordinators.get(group);
    if (known !== undefined) return known;
    const up = [...this.nodes.values()].filter((node) => node.up);
    const node = up[group.length % up.length]?.node ?? 1;
    this.coordinators.set(group, node);
    return node;
  }

  /** Runs `act` at the leader. Any other broker returns NOT_LEADER_OR_FOLLOWER. */
  #led<T extends object>(
    at: Route,
    topicPartition: TopicPartition,
    act: (partition: FakePartition) => T,
  ): T | { error: KafkaError } {
    try {
      const partition = this.partition(topicPartition);
      if (partition.leader === at.node) return act(partition);
      return { error: new KafkaError('NOT_LEADER_OR_FOLLOWER', `${topicPartition.topic}/${topicPartition.partition}`) };
    } catch (error) {
      return { error: error as KafkaError }; // this block throws only KafkaErrors
    }
  }

  #produce(at: Route, batch: port.Batch): port.Produced {
    const { topic, partition } = batch;
    const none = { topic, partition, error: null, offset: -1, timeMs: null, refused: [] };
    return {
      ...none,
      ...this.#led(at, batch, (log) => {
        const refusal = this.refuse?.(batch) ?? this.#refusal(batch);
        if (refusal) return { error: new KafkaError(refusal.error, 'refused'), refused: refusal.refused ?? [] };
        const offset = log.end;
        const timeMs = this.clock.now();
        const { producer, records } = batch;
        const producers = (log.producers ??= new FakeProducers());
        const known = producer && producers.check(producer, records.length, offset, timeMs - this.producerExpiryMs);
        if (known && 'error' in known) return { error: new KafkaError(known.error, `${topic}/${partition}`) };
        if (known) return { offset: known.copyOf.offset, timeMs: known.copyOf.timeMs };
        for (const record of records) {
          log.records.push({ ...copy(record), partition, offset: log.end++, timeMs });
        }
        if (producer) producers.written(producer, records.length, offset, timeMs);
        this.#wake();
        return { offset, timeMs };
      }),
    };
  }
  #refusal({ topic, records }: port.Batch): { error: string; refused?: port.Produced['refused'] } | undefined {
    const { configs = {} } = this.topics.get(topic) ?? {};
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
    if (bytes > Number(configs['max.message.bytes'] ?? Infinity)) return { error: 'MESSAGE_TOO_LARGE' };
    return undefined;
  }

  async #fetch(at: Route, asked: port.FetchRequest): Promise<readonly port.Fetched[]> {
    const untilMs = this.clock.mono() + asked.maxWaitMs;
    for (;;) {
      const found = asked.partitions.map((topicPartition) => this.#read(at, topicPartition));
      const some = found.some(({ error, records }) => error !== null || records.length > 0);
      const leftMs = untilMs - this.clock.mono();
      if (some || leftMs <= 0) return found;
      await new Promise<void>((go) => {
        const wake = (): void => {
          timer.cancel();
          this.#wakes.delete(wake);
          go();
        };
        const timer = this.clock.after(leftMs, wake);
        this.#wakes.add(wake);
      });
    }
  }
  #read(at: Route, topicPartition: port.FetchRequest['partitions'][number]): port.Fetched {
    const { topic, partition, offset, bytesMax } = topicPartition;
    const none = { topic, partition, error: null, records: [], next: offset, start: -1, end: -1, high: -1 };
    if (this.#isUnaware(at.node, this.partition(topicPartition))) return none;
    return {
      ...none,
      ...this.#led(at, topicPartition, ({ start, end, records, high = end, open }) => {
        if (this.faultOfReads) return { error: new KafkaError(this.faultOfReads, 'by script') };
        if (offset < start || offset > end) return { error: new KafkaError('OFFSET_OUT_OF_RANGE', `${offset}`) };
        const out: Stored[] = [];
        let bytes = 0;
        const stable = Math.min(open?.from ?? high, high);
        const bad = this.spoil?.topic === topic && this.spoil.partition === partition ? this.spoil : undefined;
        // Offsets have no gaps here.
        for (let i = offset - start; i < records.length; i++) {
          const record = records[i];
          if (!record || record.offset === bad?.offset || record.offset >= stable) break;
          bytes += recordBytes(record);
          if (out.length > 0 && bytes > bytesMax) break;
          out.push({ ...record, ...copy(record) });
        }
        const next = (out.at(-1)?.offset ?? offset - 1) + 1;
        const unreadable = new KafkaError(bad?.code ?? 'CORRUPT_MESSAGE', 'bad bytes', { until: bad?.until ?? 0 });
        return { start, end: stable, high, records: out, next, error: next === bad?.offset ? unreadable : null };
      }),
    };
  }

  #isUnaware(node: number, { leader, deposed }: FakePartition): boolean {
    if (node === leader) return false;
    return node === this.cutOff || (node === deposed?.node && this.clock.mono() < deposed.untilMs);
  }

  #offset(at: Route, topicPartition: TopicPartition & { readonly time: 'start' | 'end' | 'high' | number }) {
    const { topic, partition, time } = topicPartition;
    const found = this.#led(at, topicPartition, ({ start, end, records, high = end, open }) => {
      if (time !== 'start' && high < end) return { error: new KafkaError('LEADER_NOT_AVAILABLE', 'it has just begun') };
      if (time === 'start') return { offset: start };
      if (typeof time === 'number') return { offset: records.find(({ timeMs }) => timeMs >= time)?.offset ?? -1 };
      return { offset: time === 'high' ? end : Math.min(open?.from ?? end, end) };
    });
    return { topic, partition, error: null, offset: -1, ...found };
  }
  #producers(at: Route, topicPartition: TopicPartition): port.PartitionProducers {
    const { topic, partition } = topicPartition;
    const found = this.#led(at, topicPartition, ({ open }) => {
      const { producerId = 0, from = null, startMs = 0 } = open ?? {};
      return { producers: open ? [{ producerId, epoch: 0, lastWrittenMs: startMs, openFrom: from }] : [] };
    });
    return { topic, partition, error: null, producers: [], ...found };
  }
  /** Returns the open transactions of the partitions that a node leads, which also acts as their coordinator. */
  #transactions(at: Route): readonly FakeTransaction[] {
    const partitions = [...this.topics.values()].flatMap((topic) => topic.partitions);
    return partitions.flatMap(({ leader, open }) => (open && leader === at.node ? [open] : []));
  }
  #trim(at: Route, topicPartition: TopicPartition & { readonly before: number }) {
    const { topic, partition, before } = topicPartition;
    const found = this.#led(at, topicPartition, (log) => {
      if (before > log.end) return { error: new KafkaError('OFFSET_OUT_OF_RANGE', `${before}`) };
      log.start = Math.max(log.start, before);
      log.records = log.records.filter(({ offset }) => offset >= log.start);
      return { start: log.start };
    });
    return { topic, partition, error: null, start: -1, ...found };
  }

  #commit(at: Route, as: port.MemberIdentity, places: readonly port.OffsetToCommit[]): readonly port.PartitionResult[] {
    let error: KafkaError | null = null;
    const isTooLarge = ({ metadata }: port.OffsetToCommit): boolean => metadata.length > this.offsetMetadataMax;
    try {
      const taken = places.filter((place) => !isTooLarge(place));
      this.#coordinates(as.group, at.node).commit(as, taken);
    } catch (refused) {
      error = refused as KafkaError; // this block throws only KafkaErrors
    }
    return places.map((place) => {
      const { topic, partition } = place;
      const tooLarge = isTooLarge(place) ? new KafkaError('OFFSET_METADATA_TOO_LARGE', `${topic}/${partition}`) : null;
      return { topic, partition, error: error ?? tooLarge };
    });
  }
  #offsets(
    at: Route,
    name: string,
    topicPartitions: readonly TopicPartition[] | null,
  ): readonly port.CommittedOffset[] {
    const { offsets } = this.#coordinates(name, at.node);
    return (topicPartitions ?? [...offsets.values()]).map(({ topic, partition }) => {
      const found = offsets.get(`${topic}/${partition}`);
      return { topic, partition, error: null, offset: found?.offset ?? null, metadata: found?.metadata ?? '' };
    });
  }

  /** Describes a group, or returns NOT_COORDINATOR for one that the broker does not coordinate. */
  #describe(at: Route, group: string): port.Group {
    if (this.coordinators.get(group) === at.node) return this.group(group).describe();
    const error = new KafkaError('NOT_COORDINATOR', group);
    return { group, error, state: '', protocolType: '', protocol: '', members: [] };
  }

  #deleteGroup(at: Route, group: string): { group: string; error: KafkaError | null } {
    const code =
      this.coordinators.get(group) !== at.node
        ? 'NOT_COORDINATOR'
        : this.groups.get(group)?.describe().members.length
          ? 'NON_EMPTY_GROUP'
          : this.groups.delete(group)
            ? undefined
            : 'GROUP_ID_NOT_FOUND';
    return { group, error: code === undefined ? null : new KafkaError(code, group) };
  }

  #create({ name, partitions, replicas, configs }: port.NewTopic): port.TopicResult {
    if (this.topics.has(name)) return { topic: name, error: new KafkaError('TOPIC_ALREADY_EXISTS', name) };
    const nodes = [...this.nodes.keys()];
    const made = Array.from({ length: partitions }, (_, partition): FakePartition => {
      return { leader: nodes[partition % nodes.length] ?? null, epoch: 0, start: 0, records: [], end: 0 };
    });
    this.topics.set(name, { name, configs: { ...configs }, partitions: made, replicas });
    return { topic: name, error: null };
  }
  #configs(topic: string): port.TopicConfigs {
    const found = this.topics.get(topic);
    if (!found) return { topic, error: new KafkaError('UNKNOWN_TOPIC_OR_PARTITION', topic), configs: {} };
    const configs = Object.entries(found.configs).map(([name, value]) => [name, { value, isDefault: false }] as const);
    return { topic, error: null, configs: Object.fromEntries(configs) };
  }
}

function elect(partition: FakePartition, node: number | null): void {
  partition.leader = node;
  partition.epoch++;
}

function copy({ key, value, headers }: LogRecord): LogRecord {
  return { key: key && Uint8Array.from(key), value: value && Uint8Array.from(value), headers: { ...headers } };
}

function orNothing<T>(work: Promise<readonly T[]>, signal: AbortSignal): Promise<readonly T[]> {
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve([]);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
