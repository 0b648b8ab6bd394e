/** Who serves one contract, kept up to date: listed again after each change, and told to those who watch. */
import { sayError } from '../../base/errors';
import type { Instance } from '../../ports/registry';
import { instanceOfNode, instanceOfText } from './announcement';
import type { Connection } from '../session/connection';
import { LostError } from '../session/errors';
import { isSame, keep, type Known } from './instance-list';
import { list } from '../session/nodes';
import type { Comeback, SessionParts, Session } from '../session/session';
import { openSoon, type Soon } from '../session/debounce';

export interface FolderParts extends Pick<SessionParts, 'clock' | 'random' | 'notices'> {
  readonly session: Session;
  readonly path: string;
}
export interface Watcher {
  readonly see: (instances: readonly Instance[]) => void;
  seen: Known | undefined;
}

/**
 * A standstill that costs others their session keeps us away for half a session time-out, or nearly: a connection that
 * stands still is cut within the other half. They get two to announce themselves again, and whoever is missing by then
 * is not given more by the next standstill.
 */
const grace = { afterSessions: 0.4, sessions: 2 } as const;

export class Folder {
  readonly watchers = new Set<Watcher>();
  /** Undefined until it was read once. */
  known: Known | undefined;
  private readonly soon: Soon;
  private graceUntilMs = -Infinity;
  private graceEnd = { cancel: (): void => undefined };
  /** Who is kept without being listed, and until when. */
  private missing: ReadonlyMap<string, number> = new Map();
  /** The last one that was given its grace, and the last one whose missing were told. */
  private met: Comeback | undefined;
  private told: Comeback | undefined;
  private closed = false;
  private readings = 0;
  private taken = 0;
  private readonly damaged = new Set<string>();

  constructor(private readonly parts: FolderParts) {
    const { clock, random } = parts;
    const count = (): number => this.known?.size ?? 0;
    // What a change costs the servers grows with the square of how many there are; so the wait grows with the number.
    const [jitterMs, gapMs] = [() => 10 + count() / 4, () => 50 + count()];
    this.soon = openSoon({ clock, random, jitterMs, gapMs }, () => this.again());
  }
  private readonly changed = (): void => this.soon.ask();

  /** Reads on a new connection, and says who is kept. */
  async restore(connection: Connection): Promise<void> {
    await this.read(connection);
    this.tellKept();
  }

  /** Lists who is there, and tells it. Of two readings that overlap the one that began later counts. */
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
  /** By whoever reads first on a connection, once for each. */
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
  private async again(): Promise<void> {
    const { connection } = this.parts.session;
    try {
      if (connection?.alive) await this.read(connection);
    } catch (error) {
      if (!(error instanceof LostError)) this.parts.session.restoreSoon(sayError(error));
    }
  }

  /** The instances of nodes that are known already are taken from there, so that a long name is read up once. */
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
      if (!there) return undefined; // it went meanwhile
      instance = instanceOfText(there.data);
    }
    if (!instance) this.tellDamaged(node);
    return instance;
  }

  show(watcher: Watcher): void {
    if (this.known === undefined || (watcher.seen && isSame(watcher.seen, this.known))) return;
    watcher.seen = this.known;
    try {
      watcher.see([...this.known.values()]);
    } catch (error) {
      this.log(`a watcher of ${this.parts.path} threw: ${sayError(error)}`);
    }
  }
  close(): void {
    this.closed = true;
    this.soon.stop();
    this.graceEnd.cancel();
    this.watchers.clear();
  }

  private tellKept(): void {
    if (this.missing.size === 0 || this.told === this.met) return;
    this.told = this.met;
    const leftMs = Math.round(Math.max(...this.missing.values()) - this.parts.clock.mono());
    const kept = `${this.missing.size} of those known are not announced again yet, kept for ${leftMs} ms`;
    this.log(`${this.parts.path}: ${kept}`);
  }
  private tellDamaged(node: string): void {
    if (this.damaged.has(node) || this.damaged.size >= damagedMax) return;
    this.damaged.add(node);
    const reason = `${this.parts.path}/${node} is no announcement`;
    this.parts.notices.tell({ type: 'dropped', what: 'announcement', reason });
  }
  private log(message: string): void {
    this.parts.notices.tell({ type: 'log', level: 'warn', message, fields: {} });
  }
}
const damagedMax = 100; // told, each once
