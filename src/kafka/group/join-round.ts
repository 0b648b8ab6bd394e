/** Sends the requests of a member's rounds, JoinGroup and SyncGroup, and abandons a round that gets no response. */
import { every } from '../../base/clock';
import type { Route } from '../client/broker-client';
import type { ClusterMetadata } from '../cluster/metadata';
import { orAborted } from '../cluster/retry';
import { KafkaError } from '../protocol/errors';
import type { JoinGroupRequest, JoinGroupResponse, MemberIdentity } from '../protocol/types';
import { assignmentsOf } from './assignor';
import { ForeignMembersError } from './foreign-members';
import { type Assignment, decodeAssignment } from './subscription';

export interface GroupOfTopic {
  readonly group: string;
  readonly topic: string;
  readonly partitions: number;
}
export interface JoinRoundParts {
  readonly metadata: ClusterMetadata;
  readonly of: GroupOfTopic;
  readonly sessionMs: number;
  /** Returns true if the instance is a member, whose heartbeats detect a new coordinator. */
  readonly isMember: () => boolean;
}

/** Interval at which a waiting new member looks up the coordinator, because it sends no heartbeats. */
const probeMs = 1_000;

export class JoinRound {
  /** Aborts the wait for a coordinator that does not respond. */
  #abandon = new AbortController();
  /**
   * Number in the name of the connection. An abandoned join can block its connection, so the next join uses another
   * one.
   */
  #connection = 0;
  #number = 0;
  #begunMs = 0;
  #running = false;
  /** Broker at which the current round waits. */
  #node: number | undefined;
  readonly #unwatch: () => void;

  constructor(private readonly parts: JoinRoundParts) {
    this.#unwatch = parts.metadata.watch(() => this.#lookAtCoordinator());
  }

  /** Number of the last round that began. */
  get number(): number {
    return this.#number;
  }
  /** True from the first request of a round until its assignment has arrived, also between retries. */
  get isRunning(): boolean {
    return this.#running;
  }
  /** Time since the last round began. */
  get waitedMs(): number {
    return this.parts.metadata.parts.clock.mono() - this.#begunMs;
  }
  /** Returns the connection of the rounds to a broker. */
  at(node: number): Route {
    return { node, channel: `group:${this.parts.of.group}#${this.#connection}` };
  }

  /** Begins a round: sends the JoinGroup request that `request` returns once the coordinator is known. */
  async join(request: () => JoinGroupRequest): Promise<{ readonly node: number; readonly joined: JoinGroupResponse }> {
    const { metadata, of } = this.parts;
    const { client, clock } = metadata.parts;
    const { signal } = (this.#abandon = new AbortController());
    this.#number++;
    this.#begunMs = clock.mono();
    this.#running = true;
    this.#node = undefined;
    const node = (this.#node = await orAborted(metadata.coordinator(of.group), signal));
    const probing = every(clock, probeMs, () => this.#probe());
    const joining = orAborted(client.joinGroup(this.at(node), request()), signal);
    return { node, joined: await joining.finally(() => probing.cancel()) };
  }

  /** Ends a round: sends SyncGroup. Rejects with ForeignMembersError if the leader is not a busbar instance. */
  async sync(node: number, joined: JoinGroupResponse): Promise<Assignment> {
    const { metadata, of, sessionMs } = this.parts;
    const as: MemberIdentity = { group: of.group, generation: joined.generation, memberId: joined.memberId };
    const sync = metadata.parts.client.syncGroup(this.at(node), as, assignmentsOf(joined, of), sessionMs);
    const assigned = decodeAssignment(await this.orAbandoned(sync), of.topic);
    if (!assigned) throw new ForeignMembersError(`generation ${joined.generation} of ${of.group}`);
    this.#running = false;
    return assigned;
  }

  /** Settles like `work`, or rejects when the round is abandoned. */
  orAbandoned<T>(work: Promise<T>): Promise<T> {
    return orAborted(work, this.#abandon.signal);
  }

  /** Ends the wait of a running round. Its `join` or `sync` rejects with CONNECTION. */
  abandon(error: KafkaError): void {
    if (!this.#running) return;
    this.#connection++;
    const message = `the coordinator of group ${this.parts.of.group} did not respond: ${error.message}`;
    this.#abandon.abort(new KafkaError('CONNECTION', message));
  }

  /** Looks up the coordinator for a new member, which has no heartbeats that would detect a change while it waits. */
  #probe(): void {
    if (!this.#running || this.parts.isMember()) return;
    const { metadata, of } = this.parts;
    metadata.forgetCoordinator(of.group);
    metadata.coordinator(of.group).catch(() => undefined); // no broker responds: the lookup is repeated
  }
  /** Abandons a round that waits at a broker which is no longer the coordinator, whichever component detected that. */
  #lookAtCoordinator(): void {
    const known = this.parts.metadata.knownCoordinator(this.parts.of.group);
    if (known === undefined || this.#node === undefined || known === this.#node) return;
    this.abandon(new KafkaError('NOT_COORDINATOR', `broker ${known} coordinates it now`));
  }

  close(): void {
    this.#unwatch();
    this.#abandon.abort(new KafkaError('CLOSED', 'the member was closed', { sent: false }));
  }
}
