/**
 * Registry in ZooKeeper: ephemeral nodes of each instance, one by name and one in the folder of each contract that it
 * serves.
 */
import { sleep, within } from '../base/clock';
import { BusError, isBusError, errorMessage } from '../base/errors';
import { closable, deferred, type Closable } from '../base/lifecycle';
import type { Instance, Registry } from '../ports/registry';
import { announcementOf, instanceOfText, textOfInstance } from './registry/announcement';
import type { Change, Connection, Node } from './session/connection';
import { codes, isServerError, LostError } from './session/errors';
import { Folder } from './registry/contract-watch';
import { ensure } from './session/nodes';
import type { Paths } from './paths';
import type { Session, SessionParts } from './session/session';
import { openSoon } from './session/debounce';

/** Dependencies of {@link openRegistry}. */
export interface RegistryParts extends Pick<SessionParts, 'clock' | 'random' | 'notices'> {
  readonly session: Session;
  readonly paths: Paths;
}

/** Time that closing waits for the withdrawal, in ms. The end of the session removes the remaining nodes anyway. */
const withdrawMs = 1_000;
/** Session timeouts for which an announcement waits while an earlier run of the process still owns the name. */
const takenSessions = 1.5;
/** Attempts to change the nodes of this instance while other clients change them. */
const triesMax = 5;
/** Shortest time between two reports that another client removes the nodes of this instance, in ms. */
const repairsReportMs = 60_000;

/**
 * Opens the registry.
 *
 * While ZooKeeper is unreachable, `announce` and `withdraw` resolve immediately, and take effect after the reconnect. A
 * watch keeps the instances that it read last. A first watch and `all` reject with Unreachable.
 *
 * If another run owns the name, `announce` waits one and a half session timeouts. The session of a crashed process has
 * ended by then. If the name is still owned, `announce` rejects with Conflict.
 */
export function openRegistry(parts: RegistryParts): Registry {
  return new SessionRegistry(parts);
}

class SessionRegistry implements Registry {
  private readonly folders = new Map<string, Folder>();
  private mine: Instance | undefined;
  /** Nodes that this instance can have created in any session, and the incarnation that they announce. */
  private readonly placed = new Map<string, string>();
  /** Runs the changes of this instance's nodes one after the other. */
  private lane: Promise<unknown> = Promise.resolve();
  private readonly soon;
  /** Announcement and session of the last placement that succeeded. */
  private settled: { readonly mine: Instance | undefined; readonly session: string } | undefined;
  private repairedMs = -Infinity;
  private closedAtMs: number | undefined;
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: RegistryParts) {
    const { clock, random, session } = parts;
    this.soon = openSoon({ clock, random, jitterMs: () => 20, gapMs: () => 100 }, () => this.replace());
    session.onConnection((connection) => this.restore(connection));
  }

  async announce(instance: Instance): Promise<void> {
    this.checkOpen();
    textOfInstance(instance); // refuses an announcement that is too large before anything is changed
    const before = this.mine;
    this.mine = instance;
    try {
      if (this.parts.session.connection) await this.whenFree(instance.name, () => this.placeSoon('announcing'));
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return this.soon.ask(); // `restore` places it if this does not
      if (this.mine === instance) this.mine = before;
      throw error;
    }
  }

  async withdraw(): Promise<void> {
    this.checkOpen();
    await this.takeBack();
  }
  private async takeBack(): Promise<void> {
    this.mine = undefined;
    if (!this.parts.session.connection) return;
    await this.placeSoon('withdrawing').catch((error: unknown) => this.log(errorMessage(error)));
  }

  async watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable> {
    this.checkOpen();
    const folder = this.folders.get(contract) ?? this.openFolder(contract);
    const watcher = { see, seen: undefined };
    folder.watchers.add(watcher);
    const stop = (): void => {
      folder.watchers.delete(watcher);
      if (folder.watchers.size > 0) return;
      folder.close();
      if (this.folders.get(contract) === folder) this.folders.delete(contract);
    };
    try {
      await this.update(folder, contract);
      this.checkOpen();
      folder.show(watcher);
    } catch (error) {
      stop();
      throw error;
    }
    return closable(async () => stop());
  }
  /**
   * Reads the folder, so that the caller sees earlier announcements. While ZooKeeper is unreachable, the instances that
   * were read last suffice.
   */
  private async update(folder: Folder, contract: string): Promise<void> {
    const { session } = this.parts;
    if (folder.known && !session.connection) return;
    try {
      await session.call(`watching ${contract}`, true, (connection) => folder.read(connection));
    } catch (error) {
      if (!folder.known || !isBusError(error, 'Unreachable')) throw error;
    }
  }
  private openFolder(contract: string): Folder {
    const folder = new Folder({ ...this.parts, path: this.parts.paths.contract(contract) });
    this.folders.set(contract, folder);
    return folder;
  }

  async all(): Promise<readonly Instance[]> {
    this.checkOpen();
    const { session, paths } = this.parts;
    return session.call('listing all instances', true, async (connection) => {
      const nodes = (await connection.children(paths.instances)) ?? [];
      const there = await Promise.all(nodes.map((node) => connection.read(`${paths.instances}/${node}`)));
      return there.flatMap((node) => (node && instanceOfText(node.data)) ?? []);
    });
  }

  async find(name: string): Promise<Instance | undefined> {
    this.checkOpen();
    const { session, paths } = this.parts;
    const read = (connection: Connection): Promise<Node | undefined> => connection.read(paths.instance(name));
    const node = await session.call(`looking for ${name}`, true, read);
    return node && instanceOfText(node.data);
  }

  close(): Promise<void> {
    return this.closing.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    this.closedAtMs = this.parts.clock.now();
    this.soon.stop();
    for (const folder of this.folders.values()) folder.close();
    this.folders.clear();
    await within(this.parts.clock, withdrawMs, this.takeBack());
  }
  private checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }

  // --- nodes of this instance

  /**
   * Places the nodes of this instance and reads every watched folder. An instance that cannot announce itself must
   * still detect changes of other instances.
   */
  private async restore(connection: Connection): Promise<void> {
    const placed = await Promise.allSettled([this.place(connection)]);
    const read = await Promise.allSettled([...this.folders.values()].map((folder) => folder.restore(connection)));
    const failed = [...placed, ...read].find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }
  /** Places the nodes again, as another client can have removed them. */
  private async replace(): Promise<void> {
    const { session } = this.parts;
    try {
      if (session.connection?.alive) await this.place(session.connection);
    } catch (error) {
      if (!(error instanceof LostError)) session.restoreSoon(errorMessage(error));
    }
  }
  private placeSoon(what: string): Promise<void> {
    return this.parts.session.call(what, true, (connection) => this.place(connection));
  }
  private place(connection: Connection): Promise<void> {
    const placing = this.lane.then(() => this.placeNow(connection));
    this.lane = placing.catch(() => undefined);
    return placing;
  }

  /**
   * Changes the nodes of this instance to the announced state, in one transaction, so that watchers see no state in
   * between. If the announcement changes meanwhile, another placement follows.
   */
  private async placeNow(connection: Connection): Promise<void> {
    for (let tries = 0; tries < triesMax; tries++) {
      const { mine } = this;
      const wanted = mine ? this.wantedFor(mine) : new Map<string, string>();
      const there = await this.readOwn(connection, mine, [...new Set([...this.placed.keys(), ...wanted.keys()])]);
      const changes = changesFor(wanted, there, connection.session);
      for (const path of wanted.keys()) this.placed.set(path, mine?.incarnation ?? '');
      try {
        if (changes.length > 0) await this.change(connection, [...wanted.keys()], changes);
        for (const path of this.placed.keys()) if (!wanted.has(path)) this.placed.delete(path);
        if (changes.length > 0 && this.isSettled(mine, connection)) this.reportRepaired(changes);
        this.settled = { mine, session: connection.session };
        return;
      } catch (error) {
        if (!isServerError(error, codes.nodeExists, codes.noNode)) throw error;
        await this.ensureFolders(connection); // or a node changed after it was read
      }
    }
    throw new LostError(
      `the announcement of ${this.mine?.name ?? 'this instance'} changed during each of ${triesMax} tries`,
    );
  }

  /** Returns whether this announcement was placed before. If so, another client has changed or removed its nodes. */
  private isSettled(mine: Instance | undefined, { session }: Connection): boolean {
    return mine !== undefined && this.settled?.mine === mine && this.settled.session === session;
  }
  private reportRepaired(changes: readonly Change[]): void {
    const nowMs = this.parts.clock.mono();
    if (nowMs - this.repairedMs < repairsReportMs) return;
    this.repairedMs = nowMs;
    const paths = changes.map(({ path }) => path).join(' ');
    this.log(`another client changed or removed the announcement of this instance, which was restored: ${paths}`);
  }

  /** Changes the nodes, and watches them, so that a change by another client is detected. */
  private async change(connection: Connection, wanted: readonly string[], changes: readonly Change[]): Promise<void> {
    await connection.change(changes);
    await Promise.all(wanted.map((path) => connection.read(path, this.touched)));
  }
  private readonly touched = (): void => this.soon.ask();

  private wantedFor(instance: Instance): ReadonlyMap<string, string> {
    const { paths } = this.parts;
    const { node, data } = announcementOf(instance);
    const folders = Object.keys(instance.serves).map((contract) => paths.contract(contract));
    return new Map([
      [paths.instance(instance.name), textOfInstance(instance)],
      ...folders.map((folder): [string, string] => [`${folder}/${node}`, data]),
    ]);
  }
  private async ensureFolders(connection: Connection): Promise<void> {
    const { paths } = this.parts;
    const folders = Object.keys(this.mine?.serves ?? {}).map((contract) => paths.contract(contract));
    for (const folder of [paths.instances, ...folders]) await ensure(connection, folder);
  }

  /** Reads the nodes that this instance can have created. Throws Conflict if another run owns the name. */
  private async readOwn(
    connection: Connection,
    mine: Instance | undefined,
    paths: readonly string[],
  ): Promise<ReadonlyMap<string, Node>> {
    const own = mine && this.parts.paths.instance(mine.name);
    const nodes = await Promise.all(paths.map((path) => connection.read(path, mine && this.touched)));
    const there = new Map<string, Node>();
    for (const [at, path] of paths.entries()) {
      const node = nodes[at];
      if (!node) continue;
      if (mine && path === own) checkLife(mine, node, connection.session);
      else if (this.isOfAnother(path, node)) continue;
      there.set(path, node);
    }
    return there;
  }

  /**
   * Returns whether another run now owns a name that this instance had. Nodes below contracts have the incarnation in
   * their own name.
   */
  private isOfAnother(path: string, { data }: Node): boolean {
    return (
      path.startsWith(`${this.parts.paths.instances}/`) && instanceOfText(data)?.incarnation !== this.placed.get(path)
    );
  }

  /**
   * Calls `run`, and repeats it each time the node of that name changes, until the earlier run has released the name.
   */
  private async whenFree(name: string, run: () => Promise<void>): Promise<void> {
    const { clock, session } = this.parts;
    const untilMs = clock.mono() + session.sessionMs * takenSessions;
    for (;;) {
      try {
        return await run();
      } catch (error) {
        const leftMs = untilMs - clock.mono();
        if (!isBusError(error, 'Conflict') || leftMs <= 0) throw error;
        await this.changeOf(name, leftMs);
      }
    }
  }
  /** Resolves when the node of this name changes, or after `withinMs`. */
  private async changeOf(name: string, withinMs: number): Promise<void> {
    const { clock, session, paths } = this.parts;
    const changed = deferred<void>();
    const read = (connection: Connection): Promise<Node | undefined> => {
      void connection.ended.then(() => changed.resolve());
      return connection.read(paths.instance(name), () => changed.resolve());
    };
    if ((await session.call('waiting for a name', true, read)) === undefined) return;
    await Promise.race([changed.promise, sleep(clock, withinMs)]);
  }

  private log(message: string): void {
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: {} });
  }
}

function checkLife({ name, incarnation }: Instance, node: Node, session: string): void {
  if (node.owner === session) return; // created by this session, whatever another client wrote into it
  const there = instanceOfText(node.data);
  if (there?.incarnation === incarnation) return;
  const where = `process ${there?.pid ?? '?'} on ${there?.host ?? '?'}`;
  const message = `an instance named ${name} is already running (${where})`;
  throw new BusError('Conflict', message, { key: name });
}

/**
 * Returns the changes that lead to the wanted nodes. A node of an earlier session is recreated, because it would be
 * removed with that session.
 */
function changesFor(wanted: ReadonlyMap<string, string>, there: ReadonlyMap<string, Node>, session: string): Change[] {
  const changes: Change[] = [];
  for (const path of there.keys()) if (!wanted.has(path)) changes.push({ do: 'remove', path });
  for (const [path, data] of wanted) {
    const node = there.get(path);
    if (node?.owner === session) {
      if (node.data !== data) changes.push({ do: 'set', path, data });
      continue;
    }
    if (node) changes.push({ do: 'remove', path });
    changes.push({ do: 'create', path, data });
  }
  return changes;
}
