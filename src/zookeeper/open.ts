/** Opens the registry and the settings of one bus on ZooKeeper. */
import type { Clock, Random } from '../base/clock';
import { BusError, isBusError, errorMessage } from '../base/errors';
import { closable, teardown, type Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Registry } from '../ports/registry';
import type { ServerProbe } from '../ports/server-probe';
import type { Settings } from '../ports/settings';
import { readSecret, type Secret } from './session/auth';
import { SettingsCache, type Cached } from './settings/disk-cache';
import type { Connection, Rights } from './session/connection';
import { unreachable } from './session/errors';
import type { Address } from './session/client';
import { ensure } from './session/nodes';
import { pathsOf, type Paths } from './paths';
import { openRegistry } from './registry';
import { openSession, type Session, type SessionParts } from './session/session';
import { probeSession } from './session/session-probe';
import { openSettings } from './settings';
import { readTls, type TlsPaths } from './session/tls';

/** Options of {@link openZookeeper}. */
export interface ZookeeperOptions {
  /** Addresses of the servers: `host:port,host:port`. The default port is 2181, or 2281 with TLS. */
  readonly connect: string;
  readonly ns: string;
  /**
   * Directory for the cached settings, with which a start without ZooKeeper is possible. Without a directory, it is
   * not.
   */
  readonly cacheDir?: string;
  /**
   * User of the scheme `digest`. Only this user can access nodes that are created; with `worldRead` any user can read
   * them.
   */
  readonly auth?: Secret & { readonly worldRead?: boolean };
  /**
   * TLS files. If set, the connections go to the servers' `secureClientPort`, and the servers must prove their
   * identity.
   */
  readonly tls?: TlsPaths;
  /**
   * Session timeout: time after which a silent or blocked process counts as crashed, in ms. The default is the minimum
   * that a server grants in its own default configuration.
   *
   * @default 4_000
   */
  readonly sessionMs?: number;
  /**
   * Time that opening waits for a server if there are no cached settings, in ms.
   *
   * @default sessionMs
   */
  readonly openMs?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
  /** Is called when no server has responded for half a second, so that a waiting person can be informed. */
  readonly waiting?: (message: string) => void;
}
/** The open registry and settings. */
export interface Zookeeper extends Closable {
  readonly registry: Registry;
  readonly settings: Settings;
}

const sessionMsDefault = 4_000;
const portDefault = 2_181;
const securePortDefault = 2_281;
/** Time without a response after which a server is reported to a waiting person, in ms. */
const overdueMs = 500;

/**
 * Opens the registry and the settings.
 *
 * Resolves when ZooKeeper was reached, or after a session timeout with the cached settings.
 *
 * Rejects with Unreachable if there are no cached settings and no server responded within `openMs`. Rejects with
 * NotAllowed if user and password are not those that created the nodes, and with Config for invalid options.
 *
 * Closing withdraws the announcement and ends the session. It takes two seconds at most if no server responds.
 */
export async function openZookeeper(options: ZookeeperOptions): Promise<Zookeeper> {
  const { ns, clock, random, notices } = options;
  const around = { clock, random, notices };
  const sessionParts = sessionPartsOf(options);
  const { rights, sessionMs } = sessionParts;
  const openMs = Math.max(sessionMs, options.openMs ?? 0);
  const cache = cacheOf(options);
  const paths = pathsOf(ns);
  const session = openSession(sessionParts);
  session.onConnection((connection) => ensureAll(connection, paths));
  const settings = openSettings({ ...around, session, paths, cache });
  const registry = openRegistry({ ...around, session, paths });
  const closing = closable(
    teardown('ZooKeeper', [
      ['registry', () => registry.close()],
      ['settings', () => settings.close()],
      ['session', () => session.close()],
    ]),
  );
  const { waiting } = options;
  const overdue = waiting && clock.after(overdueMs, () => !session.connection && waiting(describeAway(session)));
  try {
    const cached = await begin({ session, paths, rights, cache, notices, openMs });
    if (cached) settings.assume(cached.settings);
  } catch (error) {
    await closing.close().catch(() => undefined); // the caller must receive the first error
    throw error;
  } finally {
    overdue?.cancel();
  }
  return { registry, settings, ...closing };
}

/**
 * Returns a probe of the servers. Returns undefined if there are cached settings, because the bus then opens without
 * ZooKeeper. Throws Config for invalid options.
 */
export function probeZookeeper(options: ZookeeperOptions): ServerProbe | undefined {
  return hasSettings(cacheOf(options)) ? undefined : probeSession(sessionPartsOf(options));
}

function sessionPartsOf(options: ZookeeperOptions): SessionParts {
  const { connect, auth, tls, sessionMs = sessionMsDefault, clock, random, notices } = options;
  const rights = { digest: auth && readSecret(auth), worldRead: auth?.worldRead ?? false };
  const addresses = addressesIn(connect, tls ? securePortDefault : portDefault);
  if (tls) readTls(tls); // report missing files as a configuration error, not as a failed connection
  return { clock, random, notices, addresses, rights, tls, sessionMs };
}
function cacheOf({ cacheDir, ns, clock, random, notices }: ZookeeperOptions): SettingsCache | undefined {
  return cacheDir === undefined ? undefined : new SettingsCache({ clock, random, notices, dir: cacheDir, ns });
}

async function ensureAll(connection: Connection, paths: Paths): Promise<void> {
  for (const path of [paths.settings, paths.instances, paths.contracts]) await ensure(connection, path);
}

/** Overrun of a wait, as a factor, from which on this process must have been suspended. */
const lateFrom = 1.2;

/** Dependencies of {@link begin}. */
interface Beginning {
  readonly session: Session;
  readonly paths: Paths;
  readonly rights: Rights;
  readonly cache: SettingsCache | undefined;
  readonly notices: Notices;
  readonly openMs: number;
}
/**
 * Waits for ZooKeeper, and returns the cached settings if it does not respond. Without cached settings it waits longer,
 * because the start would fail.
 *
 * A wait that took much longer than its limit proves nothing about the servers. This process was suspended, as happens
 * at the start on a busy machine, so it waits again.
 */
async function begin({ session, paths, rights, cache, notices, openMs }: Beginning): Promise<Cached | undefined> {
  const reach = (withinMs: number): Promise<boolean> =>
    session.call(
      'opening',
      true,
      async (connection) => {
        await ensureAll(connection, paths);
        return rights.digest !== undefined && (await connection.isOpen(paths.base));
      },
      withinMs,
    );
  try {
    const limitMs = hasSettings(cache) ? session.sessionMs : openMs;
    const isOpen = await reach(limitMs).catch((error: unknown) => {
      const stoodStill = isBusError(error, 'Unreachable') && error.details.waitedMs > lateFrom * limitMs;
      if (!stoodStill) throw error;
      return reach(limitMs);
    });
    if (isOpen) reportOpen(paths.base, notices);
    return undefined;
  } catch (error) {
    if (!isBusError(error, 'Unreachable')) throw error;
    const cached = lastSeen(session, cache, error);
    const reason = `${describeAway(session)}; using the settings of ${describeAge(cached.ageMs)} ago`;
    notices.emit({ type: 'state', part: 'zookeeper', ok: false, reason: `${reason} (${cache?.file ?? ''})` });
    return cached;
  }
}
function hasSettings(cache: SettingsCache | undefined): boolean {
  try {
    return cache?.read() !== undefined;
  } catch {
    return false; // a damaged file is reported when it is needed
  }
}
/** Returns the cached settings. If there are none, throws Unreachable with a remedy. */
function lastSeen(session: Session, cache: SettingsCache | undefined, error: BusError<'Unreachable'>): Cached {
  let why = 'dir is not set, so no settings of an earlier run are known';
  try {
    const cached = cache?.read();
    if (cached) return cached;
    if (cache) why = `${cache.file} has no settings of an earlier run`;
  } catch (fault) {
    why = errorMessage(fault);
  }
  const message = `${describeAway(session)}, and ${why}. Start ZooKeeper, or correct its address`;
  throw unreachable(message, error.details.waitedMs, session.reason, 'not-sent');
}
function describeAway({ where, reason }: Session): string {
  return `ZooKeeper at ${where} does not answer (${reason})`;
}
function reportOpen(path: string, notices: Notices): void {
  const message = `every client can change ${path}, because it was created without a user. Restrict it (setAcl)`;
  notices.emit({ type: 'log', level: 'warn', message, fields: {} });
}

/** Returns an age in words: '5 s', '3 min', '7 h', '12 days'. */
export function describeAge(ms: number): string {
  const units = [
    ['days', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const;
  const [unit, per] = units.find(([, each]) => ms >= 2 * each) ?? ['s', 1_000];
  return `${Math.round(ms / per)} ${unit}`;
}

/** Returns the addresses of the servers. Throws Config for an invalid one. */
export function addressesIn(connect: string, usualPort = portDefault): readonly Address[] {
  return connect.split(',').map((text) => {
    const found = /^\s*(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?\s*$/.exec(text);
    const [, six, name, port = `${usualPort}`] = found ?? [];
    const host = six ?? name;
    if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
      const fault = `'${text}' is not host:port, the form of a ZooKeeper address`;
      const remedy = 'Set zookeeper to host:port,host:port.';
      throw new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
    }
    return { host, port: Number(port) };
  });
}
