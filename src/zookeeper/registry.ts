/**
 * Registry in ZooKeeper: ephemeral nodes of each instance, one by name and one in the folder of each contract that it
 * serves.
 */
import { sleep, within } from '../base/clock';
import { BusError, isBusError, errorMessage } from '../base/errors';
import { closable, deferred, type Closable } from '../base/lifecycle';
import type { Instance, Registry } from '../ports/registry';
import { instanceOfText, textOfInstance } from './registry/announcement';
import type { Connection, Node } from './session/connection';
import { LostError } from './session/errors';
import { Folder } from './registry/contract-watch';
import { OwnNodes } from './registry/own-nodes';
import type { Paths } from './paths';
import type { Session, SessionParts } from './session/session';
import { debounce } from './session/debounce';

/** Dependencies of {@link openRegistry}. */
export interface RegistryParts extends Pick<SessionParts, 'clock' | 'random' | 'notices'> {
  readonly session: Session;
  readonly paths: Paths;
}

/** Time that closing waits for the withdrawal, in ms. The end of the session removes the remaining nodes anyway. */
const withdrawMs = 1_000;
/** Session timeouts for which an announcement waits while an earlier run of the process still owns the name. */
const takenSessions = 1.5;
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
  private readonly own: OwnNodes;
  private readonly debounced;
  private closedAtMs: number | undefined;
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: RegistryParts) {
    const { clock, random, session } = parts;
    this.debounced = debounce({ clock, random, jitterMs: () => 20, gapMs: () => 100 }, () => this.replace());
    this.own = new OwnNodes({ ...parts, touched: () => this.debounced.request() });
    session.onConnection((connection) => this.restore(connection));
  }

  async announce(instance: Instance): Promise<void> {
    this.checkOpen();
    textOfInstance(instance); // refuses an announcement that is too large before anything is changed
    const before = this.own.mine;
    this.own.mine = instance;
    try {
      if (this.parts.session.connection) await this.whenFree(instance.name, () => this.placeDebounced('announcing'));
    } catch (error) {
      if (isBusError(error, 'Unreachable')) return this.debounced.request(); // `restore` places it if this does not
      if (this.own.mine === instance) this.own.mine = before;
      throw error;
    }
  }

  async withdraw(): Promise<void> {
    this.checkOpen();
    await this.takeBack();
  }
  private async takeBack(): Promise<void> {
    this.own.mine = undefined;
    if (!this.parts.session.connection) return;
    await this.placeDebounced('withdrawing').catch((error: unknown) => this.log(errorMessage(error)));
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
    this.debounced.stop();
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
    const placed = await Promise.allSettled([this.own.place(connection)]);
    const read = await Promise.allSettled([...this.folders.values()].map((folder) => folder.restore(connection)));
    const failed = [...placed, ...read].find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }
  /** Places the nodes again, as another client can have removed them. */
  private async replace(): Promise<void> {
    const { session } = this.parts;
    try {
      if (session.connection?.alive) await this.own.place(session.connection);
    } catch (error) {
      if (!(error instanceof LostError)) session.retryRestore(errorMessage(error));
    }
  }
  private placeDebounced(what: string): Promise<void> {
    return this.parts.session.call(what, true, (connection) => this.own.place(connection));
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
