/**
 * Settings in ZooKeeper, one node per key. While ZooKeeper is unreachable, the values that were read last stay in
 * effect.
 */
import { every, type Clock, type Random, type Timer } from '../base/clock';
import { BusError, isBusError, errorMessage } from '../base/errors';
import { closable, type Closable } from '../base/lifecycle';
import { limits } from '../base/limits';
import type { Notices } from '../base/notices';
import type { Setting, Settings } from '../ports/settings';
import type { SettingsCache } from './settings/disk-cache';
import type { Connection } from './session/connection';
import { codes, isServerError, LostError } from './session/errors';
import { ensure } from './session/nodes';
import { textOf, type Paths } from './paths';
import type { Session } from './session/session';
import { debounce, type DebouncedTask } from './session/debounce';
import { settingOf, Snapshot } from './settings/snapshot';

/** Dependencies of {@link openSettings}. */
export interface SettingsParts {
  readonly session: Session;
  readonly paths: Paths;
  readonly cache: SettingsCache | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}
/** Settings that can start from the values of an earlier run. */
export interface SessionSettings extends Settings {
  /** Uses the settings of an earlier run until ZooKeeper was read. */
  assume(settings: readonly Setting[]): void;
}

type See = (settings: readonly Setting[]) => void;

/**
 * Random delay of a read after a change, in ms. It spreads the reads of 50 instances, and keeps a change visible well
 * within a second.
 */
const jitterMs = 20;
/** Shortest time between two reads, in ms. A burst of changes is read once. */
const gapMs = 50;
/** Interval at which the cache file is confirmed as current, in ms. */
const confirmMs = 60_000;
/** Attempts of a write while other clients change the node. More would keep the caller waiting on a busy key. */
const triesMax = 5;

/**
 * Opens the settings. `get`, `all` and `set` send a request to ZooKeeper, and reject with Unreachable while it is not
 * reachable. If the connection ends during a `set`, the value can have been written. `watch` returns the values that
 * were read last.
 */
export function openSettings(parts: SettingsParts): SessionSettings {
  return new NodeSettings(parts);
}

class NodeSettings implements SessionSettings {
  private readonly watchers = new Set<See>();
  private known: readonly Setting[] | undefined;
  private snapshot: Snapshot | undefined;
  private sequence: Promise<void> = Promise.resolve();
  private readonly debounced: DebouncedTask;
  private readonly confirming: Timer;
  private closedAtMs: number | undefined;
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: SettingsParts) {
    const { clock, random, session } = parts;
    this.debounced = debounce({ clock, random, jitterMs: () => jitterMs, gapMs: () => gapMs }, () => this.reread());
    this.confirming = every(clock, confirmMs, () => this.confirm());
    session.onConnection((connection, check) => this.restore(connection, check));
  }

  async get(key: string): Promise<Setting | undefined> {
    this.checkOpen();
    const path = this.parts.paths.setting(key);
    const node = await this.parts.session.call(`reading setting ${key}`, true, (one) => one.read(path));
    return node && settingOf(key, node);
  }
  async all(): Promise<readonly Setting[]> {
    this.checkOpen();
    const { session, paths } = this.parts;
    return session.call('reading all settings', true, async (connection) => {
      const names = (await connection.children(paths.settings)) ?? [];
      const nodes = await Promise.all(names.map((name) => connection.read(`${paths.settings}/${name}`)));
      return names.flatMap((name, at) => settingOf(textOf(name), nodes[at]) ?? []);
    });
  }

  async set(key: string, value: string | null, was: number): Promise<number> {
    this.checkOpen();
    const bytes = Buffer.byteLength(value ?? '');
    if (bytes > limits.messageBytesMax) throw tooLarge(key, bytes);
    const path = this.parts.paths.setting(key);
    const write = async (connection: Connection): Promise<number> => {
      for (let tries = 0; tries < triesMax; tries++) {
        const version = await tryWrite(connection, path, value, was);
        if (version !== undefined) return version;
        const found = ((await connection.read(path))?.version ?? -1) + 1;
        if (found !== was) throw conflict(key, was, found);
      }
      throw new LostError(`other processes changed ${key} during each of ${triesMax} tries`);
    };
    return this.parts.session.call(`writing setting ${key}`, false, write);
  }

  async watch(see: See): Promise<Closable> {
    this.checkOpen();
    await this.update();
    this.checkOpen();
    this.watchers.add(see);
    this.show(see);
    return closable(async () => void this.watchers.delete(see));
  }
  /**
   * Reads everything, so that the caller sees earlier writes of other processes. While ZooKeeper is unreachable, the
   * values that were read last suffice.
   */
  private async update(): Promise<void> {
    const { session } = this.parts;
    if (this.known !== undefined && !session.connection) return;
    try {
      await session.call('reading all settings', true, (connection) => this.read(connection, 'all'));
    } catch (error) {
      if (this.known === undefined || !isBusError(error, 'Unreachable')) throw error;
    }
  }
  assume(settings: readonly Setting[]): void {
    this.known ??= settings;
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
    this.confirming.cancel();
    this.watchers.clear();
    this.confirm();
    await this.parts.cache?.close();
  }
  private checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }

  // --- cached values

  private restore(connection: Connection, check = false): Promise<void> {
    return this.inSequence(async () => {
      const known = this.snapshot?.connection === connection ? this.snapshot : undefined;
      const snapshot = (this.snapshot =
        known ?? new Snapshot(connection, this.parts.paths, () => this.debounced.request()));
      await (check ? snapshot.readAll() : snapshot.read());
      this.take(snapshot);
    });
  }
  /** Reads the changes, or everything, on a restored connection. On a new connection it restores the snapshot first. */
  private async read(connection: Connection, what: 'new' | 'all'): Promise<void> {
    if (this.snapshot?.connection !== connection) return this.restore(connection);
    const snapshot = this.snapshot;
    await this.inSequence(async () => {
      await (what === 'all' ? snapshot.readAll() : snapshot.read());
      if (snapshot === this.snapshot) this.take(snapshot);
    });
  }
  private async reread(): Promise<void> {
    const { session } = this.parts;
    try {
      if (session.connection?.alive) await this.read(session.connection, 'new');
    } catch (error) {
      if (!(error instanceof LostError)) session.retryRestore(errorMessage(error));
    }
  }
  /** Runs reads one after the other, so that an older one cannot overwrite a newer one. */
  private inSequence(run: () => Promise<void>): Promise<void> {
    const reading = this.sequence.then(run);
    this.sequence = reading.catch(() => undefined);
    return reading;
  }

  private take(snapshot: Snapshot): void {
    if (this.closedAtMs !== undefined) return; // a late read; the cache is closed
    const settings = [...snapshot.settings.values()];
    const isNew = JSON.stringify(settings) !== JSON.stringify(this.known);
    this.known = settings;
    this.parts.cache?.keep(settings);
    if (isNew) for (const see of this.watchers) this.show(see);
  }
  /** Confirms the cache file as current. It is current while the connection would have reported a change. */
  private confirm(): void {
    const { snapshot } = this;
    if (snapshot?.isCurrent && snapshot.connection.alive && snapshot.connection === this.parts.session.connection)
      this.parts.cache?.keep([...snapshot.settings.values()]);
  }
  private show(see: See): void {
    try {
      see([...(this.known ?? [])]);
    } catch (error) {
      const reason = `a listener threw: ${errorMessage(error)}`;
      this.parts.notices.emit({ type: 'setting', key: '*', change: 'refused', reason });
    }
  }
}

/** Returns the new version, or undefined if the node does not have version `was`. */
async function tryWrite(
  connection: Connection,
  path: string,
  value: string | null,
  was: number,
): Promise<number | undefined> {
  try {
    if (was < 0 || !Number.isSafeInteger(was)) return undefined; // ZooKeeper takes -1 as any version
    if (was === 0 && value === null) return (await connection.exists(path)) ? undefined : 0;
    if (value === null) await connection.remove(path, was - 1);
    else if (was === 0) await connection.create(path, value);
    else return (await connection.write(path, value, was - 1)) + 1;
    return value === null ? 0 : 1;
  } catch (error) {
    if (isServerError(error, codes.badVersion, codes.nodeExists)) return undefined;
    if (!isServerError(error, codes.noNode)) throw error;
    if (was === 0) await ensure(connection, path.slice(0, path.lastIndexOf('/')));
    return undefined;
  }
}
function conflict(key: string, was: number, found: number): BusError<'Conflict'> {
  const message = `setting ${key} has version ${found}, not ${was}: another process changed it`;
  return new BusError('Conflict', message, { key, expected: was, found });
}
function tooLarge(key: string, bytes: number): BusError<'TooLarge'> {
  const message = `setting ${key} would have ${bytes} bytes, the limit is ${limits.messageBytesMax}`;
  return new BusError('TooLarge', message, { bytes, limitBytes: limits.messageBytesMax });
}
