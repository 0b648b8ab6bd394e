/** Keeps the list of instances that serve one contract: reads it after each change, and passes it to the watchers. */
import { errorMessage } from '../../base/errors';
import type { Instance } from '../../ports/registry';
import { instanceOfNode, instanceOfText } from './announcement';
import type { Connection } from '../session/connection';
import { LostError } from '../session/errors';
import { isSame, keep, type Known } from './instance-list';
import { list } from '../session/nodes';
import type { Comeback, SessionParts, Session } from '../session/session';
import { debounce, type DebouncedTask } from '../session/debounce';

/** Dependencies of {@link Folder}. */
export interface FolderParts extends Pick<SessionParts, 'clock' | 'random' | 'notices'> {
  readonly session: Session;
  readonly path: string;
}
/** A callback, and the list that it received last. */
export interface Watcher {
  readonly see: (instances: readonly Instance[]) => void;
  seen: Known | undefined;
}

/**
 * Grace period of instances that are missing after an outage, in session timeouts.
 *
 * An outage that ends the sessions of other instances lasts about half a session timeout here. A silent connection is
 * cut within the other half. Therefore a period starts from 0.4 on. Missing instances have two session timeouts to
 * announce themselves again. The next outage does not extend the period of an instance that is still missing.
 */
const grace = { afterSessions: 0.4, sessions: 2 } as const;

/** Instances that serve one contract. */
export class Folder {
  readonly watchers = new Set<Watcher>();
  /** Known instances, or undefined until the folder was read. */
  known: Known | undefined;
  private readonly debounced: DebouncedTask;
  private graceUntilMs = -Infinity;
  private graceEnd = { cancel: (): void => undefined };
  /** Instances in their grace period by node, and the end of it. */
  private missing: ReadonlyMap<string, number> = new Map();
  /** Last outage that started a grace period, and last outage with a report of missing instances. */
  private met: Comeback | undefined;
  private reported: Comeback | undefined;
  private closed = false;
  private readings = 0;
  private taken = 0;
  private readonly damaged = new Set<string>();

  constructor(private readonly parts: FolderParts) {
    const { clock, random } = parts;
    const count = (): number => this.known?.size ?? 0;
    // A change makes every instance read all names, so its cost grows with the square of their number. Therefore the
    // delay grows with the number.
    const [jitterMs, gapMs] = [() => 10 + count() / 4, () => 50 + count()];
    this.debounced = debounce({ clock, random, jitterMs, gapMs }, () => this.reread());
  }
  private readonly changed = (): void => this.debounced.request();

  /** Reads the folder on a new connection, and reports the instances in their grace period. */
  async restore(connection: Connection): Promise<void> {
    await this.read(connection);
    this.reportKept();
  }

  /** Reads the folder, and passes the list to the watchers. If two reads overlap, the one that started later wins. */
  async read(connection: Connection): Promise<void> {
    const reading = ++this.readings;
    this.meet(this.parts.session.comeback);
    const nodes = await list(connection, this.parts.path, this.changed);
    const listed = await this.instancesOf(connection, nodes);
    if (this.closed || reading < this.taken) return;
    this.taken = reading;
    this.take(listed);
    for (const watcher of this.watchers) this.show(watcher);
  }
  /** Starts the grace period, once for each connection, before its first read. */
  private meet(comeback: Comeback): void {
    const { session, clock } = this.parts;
    if (this.met === comeback) return;
    this.met = comeback;
    if (!this.known) return;
    if (comeback.newSession || comeback.awayMs > session.sessionMs * grace.afterSessions)
      this.graceUntilMs = clock.mono() + session.sessionMs * grace.sessions;
  }
  private take(listed: Known): void {
    const nowMs = this.parts.clock.mono();
    const untilMs = (node: string): number => this.missing.get(node) ?? this.graceUntilMs;
    const mayCome = [...(this.known ?? [])].filter(([node]) => !listed.has(node) && nowMs < untilMs(node));
    this.known = keep(new Map(mayCome), listed);
    const missing = [...this.known.keys()].filter((node) => !listed.has(node));
    this.missing = new Map(missing.map((node) => [node, untilMs(node)]));
    this.graceEnd.cancel();
    if (missing.length === 0) return;
    this.graceEnd = this.parts.clock.after(Math.min(...this.missing.values()) - nowMs + 1, this.changed);
  }
  private async reread(): Promise<void> {
    const { connection } = this.parts.session;
    try {
      if (connection?.alive) await this.read(connection);
    } catch (error) {
      if (!(error instanceof LostError)) this.parts.session.retryRestore(errorMessage(error));
    }
  }

  /**
   * Returns the instances of the nodes. Known nodes are not read again, so the data of a long announcement is read
   * once.
   */
  private async instancesOf(connection: Connection, nodes: readonly string[]): Promise<Known> {
    const found = await Promise.all(
      nodes.map(async (node): Promise<readonly [string, Instance] | undefined> => {
        const instance = this.known?.get(node) ?? (await this.instanceOf(connection, node));
        return instance && [node, instance];
      }),
    );
    return new Map(found.filter((one) => one !== undefined));
  }
  private async instanceOf(connection: Connection, node: string): Promise<Instance | undefined> {
    let instance = instanceOfNode(node);
    if (instance === 'data') {
      const there = await connection.read(`${this.parts.path}/${node}`);
      if (!there) return undefined; // removed meanwhile
      instance = instanceOfText(there.data);
    }
    if (!instance) this.reportDamaged(node);
    return instance;
  }

  show(watcher: Watcher): void {
    if (this.known === undefined || (watcher.seen && isSame(watcher.seen, this.known))) return;
    watcher.seen = this.known;
    try {
      watcher.see([...this.known.values()]);
    } catch (error) {
      this.log(`a listener of ${this.parts.path} threw: ${errorMessage(error)}`);
    }
  }
  close(): void {
    this.closed = true;
    this.debounced.stop();
    this.graceEnd.cancel();
    this.watchers.clear();
  }

  private reportKept(): void {
    if (this.missing.size === 0 || this.reported === this.met) return;
    this.reported = this.met;
    const leftMs = Math.round(Math.max(...this.missing.values()) - this.parts.clock.mono());
    const kept = `known instances that are not announced again yet: ${this.missing.size}, kept for ${leftMs} ms`;
    this.log(`${this.parts.path}: ${kept}`);
  }
  private reportDamaged(node: string): void {
    if (this.damaged.has(node) || this.damaged.size >= damagedMax) return;
    this.damaged.add(node);
    const reason = `${this.parts.path}/${node} is not an announcement`;
    this.parts.notices.emit({ type: 'dropped', what: 'announcement', reason });
  }
  private log(message: string): void {
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: {} });
  }
}
/** Damaged nodes that are reported, each once. It bounds the memory that they take. */
const damagedMax = 100;
