/** Who is alive: nodes that live with the session of an instance, in a folder for each contract that it serves. */
import { sleep, within } from '../base/clock';
import { BusError, isBusError, sayError } from '../base/errors';
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

export interface RegistryParts extends Pick<SessionParts, 'clock' | 'random' | 'notices'> {
  readonly session: Session;
  readonly paths: Paths;
}

/** Leaving does not wait longer for ZooKeeper: the end of the session takes back what is left. */
const withdrawMs = 1_000;
/** Of a session time-out: how long the name of a life before may still be taken. */
const takenSessions = 1.5;
const triesMax = 5;
/** A client that goes on removing what is ours is reported this often. */
const repairsReportMs = 60_000;

/**
 * While ZooKeeper is away `announce` and `withdraw` resolve at once: it is done when it is back. A watch shows who was
 * there last; one that never saw anything, and `all`, reject with Unreachable. A name that another life has is waited
 * for as long as that can outlive its process, one and a half session time-outs; then it is a Conflict.
 */
export function openRegistry(parts: RegistryParts): Registry {
  return new SessionRegistry(parts);
}

class SessionRegistry implements Registry {
  private readonly folders = new Map<string, Folder>();
  private mine: Instance | undefined;
  /** Nodes that may be ours, from whatever session, and the life that they tell of. */
  private readonly placed = new Map<string, string>();
  /** Changes of what is ours, one after the other. */
  private lane: Promise<unknown> = Promise.resolve();
  private readonly soon;
  /** What was placed last as it should be, and with which session. */
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
    textOfInstance(instance); // refuses what is too large, before anything is done
    const before = this.mine;
    this.mine = instance;
    try {
      if (this.parts.session.connection) await this.whenFree(instance.name, () => this.placeSoon('announcing'));
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return this.soon.ask(); // or it is done by `restore`
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
    await this.placeSoon('withdrawing').catch((error: unknown) => this.log(sayError(error)));
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
  /** What others have announced before must be seen; while ZooKeeper is away, what is known must do. */
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

  // --- what is ours

  /** Who may not announce itself, or not under its name, must still see the others come and go. */
  private async restore(connection: Connection): Promise<void> {
    const placed = await Promise.allSettled([this.place(connection)]);
    const read = await Promise.allSettled([...this.folders.values()].map((folder) => folder.restore(connection)));
    const failed = [...placed, ...read].find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }
  /** Somebody may have removed what is ours. */
  private async replace(): Promise<void> {
    const { session } = this.parts;
    try {
      if (session.connection?.alive) await this.place(session.connection);
    } catch (error) {
      if (!(error instanceof LostError)) session.restoreSoon(sayError(error));
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
   * Makes what is there what should be there, in one step for those who watch. What is ours may change meanwhile: then
   * it is placed once more, behind this.
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
        if (changes.length > 0 && this.isSettled(mine, connection)) this.tellRepaired(changes);
        this.settled = { mine, session: connection.session };
        return;
      } catch (error) {
        if (!isServerError(error, codes.nodeExists, codes.noNode)) throw error;
        await this.ensureFolders(connection); // or something changed since it was read
      }
    }
    throw new LostError(`what ${this.mine?.name ?? 'was here'} announces was changed ${triesMax} times meanwhile`);
  }

  /** Whether this was placed before: then it was changed or removed by another client. */
  private isSettled(mine: Instance | undefined, { session }: Connection): boolean {
    return mine !== undefined && this.settled?.mine === mine && this.settled.session === session;
  }
  private tellRepaired(changes: readonly Change[]): void {
    const nowMs = this.parts.clock.mono();
    if (nowMs - this.repairedMs < repairsReportMs) return;
    this.repairedMs = nowMs;
    const paths = changes.map(({ path }) => path).join(' ');
    this.log(`another client changed or removed what this instance announces; it is announced again: ${paths}`);
  }

  /** Afterwards it is noticed when somebody changes or removes what is ours. */
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

  /** Throws Conflict when the name belongs to another life. */
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

  /** Another life has taken a name that we had. Nodes below contracts carry the life in their own name. */
  private isOfAnother(path: string, { data }: Node): boolean {
    return (
      path.startsWith(`${this.parts.paths.instances}/`) && instanceOfText(data)?.incarnation !== this.placed.get(path)
    );
  }

  /** Does `run`, and once more when the life before has let go of its name. */
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
  /** Resolves when something about the instance of this name changes, or after `withinMs`. */
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
    this.parts.notices.tell({ type: 'log', level: 'warn', message, fields: {} });
  }
}

function checkLife({ name, incarnation }: Instance, node: Node, session: string): void {
  if (node.owner === session) return; // created by this instance, whatever another client wrote into it
  const there = instanceOfText(node.data);
  if (there?.incarnation === incarnation) return;
  const message = `an instance called ${name} is alive already (process ${there?.pid ?? '?'} on ${there?.host ?? '?'})`;
  throw new BusError('Conflict', message, { key: name });
}

/** What lives with an earlier session of ours would go with it, so it is made anew. */
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
