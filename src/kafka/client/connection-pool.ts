/** Implements `BrokerClient` with kafkajs: a connection per purpose and broker, opened on first use. */
import type { Clock, Random } from '../../base/clock';
import { closable, onAbort } from '../../base/lifecycle';
import { Connection } from './connection';
import { KafkaError } from '../protocol/errors';
import type { ApiRequest } from '../protocol/request';
import * as groups from '../protocol/group-requests';
import * as requests from '../protocol/record-requests';
import * as topics from '../protocol/topic-requests';
import * as transactions from '../protocol/transaction-requests';
import type { Security } from './security';
import type { Route, BrokerClient } from './broker-client';
import type { Fetched, Node } from '../protocol/types';

export interface KafkajsOptions {
  /** `host:port` of some brokers; their metadata contains the remaining ones. */
  readonly brokers: readonly string[];
  /** Client id, which brokers show in their logs and in the members of groups. */
  readonly clientId: string;
  readonly security?: Security;
  readonly clock: Clock;
  readonly random: Random;
  /** Deadline of a request for which the caller sets none. Default 5,000 ms. */
  readonly requestMs?: number;
  /** Called when a broker delays this client by `ms` after a request, because a quota is used up. */
  readonly throttled?: (request: string, ms: number) => void;
  /** Called once for each broker that has left a request unanswered for `overdueMs`. */
  readonly overdue?: (message: string) => void;
}

const requestMsDefault = 5_000;
/** Deadline of one broker among several that can answer, so that a frozen one does not use up the whole deadline. */
const attemptMsMax = 2_000;
const attemptShare = 0.4;
/** A request without a response for this long is reported, so that a waiting operator sees the reason. */
const overdueMs = 500;
/** Requests that brokers delay by design. They are not reported as overdue. */
const waitingRequests: readonly string[] = ['Fetch', 'JoinGroup', 'SyncGroup'];
/** A broker that did not answer is tried last for this long, so that requests do not wait for it first. */
const shunMs = 30_000;
/** Deadline for connecting, TLS handshake and login together. */
const connectMs = 3_000;
/** Time for the broker and the network beyond the time for which the broker can wait. */
const spareMs = 2_000;

/** Returns a client that connects on first use. Invalid addresses, certificates or secrets reject the first request. */
export function openKafkajs(options: KafkajsOptions): BrokerClient {
  const links = new Links(options);
  const { clock, requestMs = requestMsDefault } = options;
  const one = <T>(at: Route, request: ApiRequest<T>, timeoutMs = requestMs): Promise<T> =>
    links.request(at, request, timeoutMs);
  return {
    async metadata(names, timeoutMs = requestMs) {
      const found = await links.askAny(requests.metadata(names), timeoutMs);
      links.learn(found.nodes);
      return found;
    },
    async findCoordinator(group, timeoutMs = requestMs) {
      const found = await links.askAny(groups.findCoordinator(group), timeoutMs);
      links.learn([found]);
      return found.node;
    },
    initProducerId: (timeoutMs = requestMs) => links.askAny(requests.initProducerId(), timeoutMs),
    // The broker must time out first. Otherwise the deadline passes and closes the connection.
    produce: (at, batches, timeoutMs) =>
      one(at, requests.produce(batches, Math.round(timeoutMs * 0.9), clock.now()), timeoutMs),
    async fetch(at, request, signal) {
      const response = one(at, requests.fetch(request), request.maxWaitMs + (request.spareMs ?? spareMs));
      const isDamaged = ({ error }: Fetched): boolean => error?.code === 'CORRUPT_MESSAGE' && error.until !== undefined;
      const found = await orNothing(response, signal);
      if (found.some(isDamaged)) links.end(at, 'it returned damaged records');
      return found;
    },
    listOffsets: (at, request, timeoutMs) => one(at, requests.listOffsets(request), timeoutMs),
    deleteRecords: (at, request, timeoutMs = requestMs) =>
      one(at, requests.deleteRecords(request, timeoutMs), timeoutMs),
    joinGroup: (at, join) => one(at, groups.joinGroup(join), join.rebalanceMs + spareMs),
    syncGroup: (at, as, assignments, timeoutMs) => one(at, groups.syncGroup(as, assignments), timeoutMs),
    heartbeat: (at, as, timeoutMs) => one(at, groups.heartbeat(as), timeoutMs),
    leaveGroup: (at, group, memberId, timeoutMs) => one(at, groups.leaveGroup(group, memberId), timeoutMs),
    offsetCommit: (at, as, places, timeoutMs) => one(at, groups.offsetCommit(as, places), timeoutMs),
    offsetFetch: (at, group, topicPartitions, timeoutMs) =>
      one(at, groups.offsetFetch(group, topicPartitions), timeoutMs),
    createTopics: (at, names, timeoutMs = requestMs) => one(at, topics.createTopics(names, timeoutMs), timeoutMs),
    deleteTopics: (at, names, timeoutMs = requestMs) => one(at, topics.deleteTopics(names, timeoutMs), timeoutMs),
    createPartitions: (at, topic, count, timeoutMs = requestMs) =>
      one(at, topics.createPartitions(topic, count, timeoutMs), timeoutMs),
    describeTopicConfigs: (at, names, timeoutMs) => one(at, topics.describeTopicConfigs(names), timeoutMs),
    describeBrokerConfigs: (at, names, timeoutMs) => one(at, topics.describeBrokerConfigs(at.node, names), timeoutMs),
    incrementalAlterConfigs: (at, topic, configs, timeoutMs) =>
      one(at, topics.incrementalAlterConfigs(topic, configs), timeoutMs),
    describeProducers: (at, topicPartitions, timeoutMs) =>
      one(at, transactions.describeProducers(topicPartitions), timeoutMs),
    listTransactions: (at, ids, timeoutMs) => one(at, transactions.listTransactions(ids), timeoutMs),
    describeTransactions: (at, ids, timeoutMs) => one(at, transactions.describeTransactions(ids), timeoutMs),
    listGroups: (at, timeoutMs) => one(at, groups.listGroups(), timeoutMs),
    deleteGroups: (at, names, timeoutMs) => one(at, groups.deleteGroups(names), timeoutMs),
    describeGroups: (at, names, timeoutMs) => one(at, groups.describeGroups(names), timeoutMs),
    ...closable(() => Promise.resolve(links.close())),
  };
}

/** Resolves with the result of `work`, or with [] when `signal` aborts; a later result is dropped. */
function orNothing<T>(work: Promise<readonly T[]>, signal: AbortSignal | undefined): Promise<readonly T[]> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void => resolve([]);
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(onAbort(signal, stop));
  });
}

/** Open connections, and the known addresses of the brokers. */
class Links {
  readonly #open = new Map<string, Connection>();
  readonly #places = new Map<number, string>();
  /** Index of the broker to try first, by request name. */
  readonly #turns = new Map<string, number>();
  readonly #silentMs = new Map<string, number>();
  readonly #overdue = new Set<string>();
  #closed = false;

  constructor(readonly options: KafkajsOptions) {}

  learn(nodes: readonly Node[]): void {
    for (const { node, host, port } of nodes) this.#places.set(node, `${host}:${port}`);
  }

  async request<T>({ node, channel }: Route, request: ApiRequest<T>, timeoutMs: number): Promise<T> {
    const place = this.#places.get(node);
    if (place === undefined)
      throw new KafkaError('UNKNOWN_NODE', `the address of broker ${node} is not known`, { sent: false });
    return this.#ask(place, channel, request, timeoutMs);
  }
  async #ask<T>(place: string, channel: string, request: ApiRequest<T>, timeoutMs: number): Promise<T> {
    const { overdue, clock } = this.options;
    const response = this.#link(place, channel).ask(request, timeoutMs);
    if (!overdue || this.#overdue.has(place) || waitingRequests.includes(request.name)) return response;
    const timer = clock.after(overdueMs, () => {
      if (this.#overdue.has(place) || this.#closed) return;
      this.#overdue.add(place);
      overdue(`the broker at ${place} has not answered ${request.name} for ${overdueMs} ms`);
    });
    return response.finally(() => timer.cancel());
  }

  /** Ends a connection, so that the next request opens a new one. The old network path can be what damaged the data. */
  end({ node, channel }: Route, reason: string): void {
    const link = this.#open.get(`${channel}@${this.#places.get(node)}`);
    link?.end(new KafkaError('CONNECTION', `closed, because ${reason}`));
  }

  /** Sends the request to each known broker, once, until one answers. */
  async askAny<T>(request: ApiRequest<T>, timeoutMs: number): Promise<T> {
    const { clock } = this.options;
    const end = clock.mono() + timeoutMs;
    const failures: KafkaError[] = [];
    const attemptMs = Math.min(attemptMsMax, timeoutMs * attemptShare);
    for (const place of this.#inTurn(request.name)) {
      if (clock.mono() >= end) break;
      try {
        return await this.#ask(place, 'any', request, Math.min(end - clock.mono(), attemptMs));
      } catch (error) {
        if (!(error instanceof KafkaError) || error.fatal || error.code === 'CLOSED') throw error;
        failures.push(error);
        if (isSilence(error)) this.#silentMs.set(place, clock.mono());
      }
    }
    const said = failures.find((error) => !isSilence(error));
    if (said) throw said; // an error that a broker returned explains more than a missing response
    const reasons = failures.map(({ message }) => message).join('; ');
    throw new KafkaError('CONNECTION', `no broker answers: ${reasons}`, { sent: false, cause: failures.at(-1) });
  }

  /**
   * Returns the brokers in the order to try, starting with the next one each time. A broker that is cut off from its
   * controller keeps returning outdated metadata, and must not be the only source.
   */
  #inTurn(name: string): readonly string[] {
    const { brokers, clock, random } = this.options;
    const places = [...new Set([...brokers, ...this.#places.values()])];
    const turn = this.#turns.get(name) ?? Math.floor(random.next() * brokers.length);
    this.#turns.set(name, turn + 1);
    for (const [place, atMs] of this.#silentMs) if (clock.mono() - atMs > shunMs) this.#silentMs.delete(place);
    const first = turn % places.length;
    const inTurn = [...places.slice(first), ...places.slice(0, first)];
    return inTurn.toSorted((a, b) => Number(this.#silentMs.has(a)) - Number(this.#silentMs.has(b)));
  }

  /** Returns the connection of this purpose and broker. Opens it if none exists. */
  #link(place: string, channel: string): Connection {
    if (this.#closed) throw new KafkaError('CLOSED', 'the Kafka client was closed', { sent: false });
    const name = `${channel}@${place}`;
    const found = this.#open.get(name);
    if (found) return found;
    const { clientId, security = {}, clock, throttled } = this.options;
    const colon = place.lastIndexOf(':');
    const host = place.slice(0, colon).replace(/^\[|\]$/g, '');
    const port = Number(place.slice(colon + 1));
    const onGone = (): void => void (this.#open.get(name) === made && this.#open.delete(name));
    const made: Connection = new Connection({ host, port, clientId, security, clock, connectMs, throttled, onGone });
    this.#open.set(name, made);
    return made;
  }

  /** Ends all connections immediately. Pending requests reject with CLOSED. */
  close(): void {
    this.#closed = true;
    for (const link of this.#open.values()) link.end(new KafkaError('CLOSED', 'the Kafka client was closed'));
  }
}

function isSilence({ code }: KafkaError): boolean {
  return code === 'DEADLINE' || code === 'CONNECTION';
}
