/** Who serves one contract, kept up to date: listed again after each change, and told to those who watch. */
import { sayError } from '../base/errors';
import type { Instance } from '../ports/registry';
import { instanceOfNode, instanceOfText } from './announcement';
import type { Connection } from './connection';
import { LostError } from './faults';
import { isSame, keep, type Known } from './known';
import { list } from './nodes';
import type { Comeback, SessionParts, Session } from './session';
import { openSoon, type Soon } from './soon';

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
 * stands still is cut within the other half. They get two to announce themselves again.
 */
const grace = { afterSessions: 0.4, sessions: 2 } as const;

export class Folder {
  readonly watchers = new Set<Watcher>();
  /** Undefined until it was read once. */
  known: Known | undefined;
  private readonly soon: Soon;
  private graceUntilMs = -Infinity;
  private graceEnd = { cancel: (): void => undefined };
  /** How many are kept without being listed. */
  private missing = 0;
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

  async restore(connection: Connection, { awayMs, newSession }: Comeback): Promise<void> {
    const { session, clock } = this.parts;
    if (this.known && (newSession || awayMs > session.sessionMs * grace.afterSessions)) {
      const graceMs = session.sessionMs * grace.sessions;
      this.graceUntilMs = clock.mono() + graceMs;
      this.graceEnd.cancel();
      this.graceEnd = clock.after(graceMs + 1, this.changed);
    }
    await this.read(connection);
    if (this.missing > 0) this.tellKept();
  }

  /** Lists who is there, and tells it. Of two readings that overlap the one that began later counts. */
  async read(connection: Connection): Promise<void> {
    const reading = ++this.readings;
    const nodes = await list(connection, this.parts.path, this.changed);
    const listed = await this.instancesOf(connection, nodes);
    if (reading < this.taken) return;
    this.taken = reading;
    const inGrace = this.parts.clock.mono() < this.graceUntilMs;
    this.known = keep(this.known ?? new Map(), listed, inGrace);
    this.missing = this.known.size - listed.size;
    for (const watcher of this.watchers) this.show(watcher);
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
    this.soon.stop();
    this.graceEnd.cancel();
    this.watchers.clear();
  }

  private tellKept(): void {
    const leftMs = Math.round(this.graceUntilMs - this.parts.clock.mono());
    this.log(`${this.parts.path}: ${this.missing} of those known are not announced again yet, kept for ${leftMs} ms`);
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
