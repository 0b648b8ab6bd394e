/** Nodes of this instance: one by name, and one below each contract that it serves. */
import type { Clock } from '../../base/clock';
import { BusError } from '../../base/errors';
import type { Notices } from '../../base/notices';
import type { Instance } from '../../ports/registry';
import type { Paths } from '../paths';
import type { Change, Connection, Node } from '../session/connection';
import { codes, isServerError, LostError } from '../session/errors';
import { ensure } from '../session/nodes';
import { announcementOf, instanceOfText, textOfInstance } from './announcement';

/** Attempts to change the nodes of this instance while other clients change them. */
const triesMax = 5;
/** Shortest time between two reports that another client removes the nodes of this instance, in ms. */
const repairsReportMs = 60_000;

export interface OwnNodesParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly paths: Paths;
  /** Called when another client has changed or removed a node of this instance. Called at most once for each read. */
  touched(): void;
}

export class OwnNodes {
  /** The announcement, or undefined while the instance is withdrawn. {@link OwnNodes.place} makes the nodes match. */
  mine: Instance | undefined;
  /** Nodes that this instance can have created in any session, and the incarnation that they announce. */
  private readonly placed = new Map<string, string>();
  /** Runs the changes of this instance's nodes one after the other. */
  private lane: Promise<unknown> = Promise.resolve();
  /** Announcement and session of the last placement that succeeded. */
  private settled: { readonly mine: Instance | undefined; readonly session: string } | undefined;
  private repairedMs = -Infinity;

  constructor(private readonly parts: OwnNodesParts) {}

  /**
   * Creates, changes and removes nodes until they match the announcement. Rejects with Conflict if another run owns the
   * name.
   */
  place(connection: Connection): Promise<void> {
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
    const message = `another client changed or removed the announcement of this instance, which was restored: ${paths}`;
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: {} });
  }

  /** Changes the nodes, and watches them, so that a change by another client is detected. */
  private async change(connection: Connection, wanted: readonly string[], changes: readonly Change[]): Promise<void> {
    await connection.change(changes);
    await Promise.all(wanted.map((path) => connection.read(path, this.touched)));
  }
  private readonly touched = (): void => this.parts.touched();

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
