/**
 * Implements the registry of announced, running instances. It reads the shared directory, and detects changes by
 * doorbells and closed connections. The file is long because polling, watching and the repair of the own announcement
 * share one list.
 */
import type { Clock } from '../base/clock';
import { every } from '../base/clock';
import { BusError, errorMessage } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import { closable } from '../base/lifecycle';
import { openStates, type Notices, type States } from '../base/notices';
import type { Instance, Registry } from '../ports/registry';
import type { Directory } from './directory/directory';
import type { Doorbells } from './sockets/doorbells';
import type { Entry } from './directory/announcements';
import { Announcements } from './directory/announcements';
import type { Sockets } from './sockets/sockets';
import type { Upkeep } from './directory/upkeep';

export interface RegistryParts {
  readonly directory: Directory;
  readonly sockets: Sockets;
  readonly doorbells: Doorbells;
  readonly upkeep: Pick<Upkeep, 'look' | 'check'>;
  readonly clock: Clock;
  readonly notices: Notices;
}
/** Registry of one open bus. */
export interface EmbeddedRegistry extends Registry {
  /** Returns all instances of a module that are known now, without reading the directory. */
  instancesOf(module: string): readonly Instance[];
}

/**
 * Prefix of a ring. The ring names the file that was added or removed, so that receivers do not read the whole folder.
 */
const topic = 'registry ';
/** Interval of the poll. Doorbells and closed connections report changes immediately; the poll finds missed ones. */
const pollMs = 500;
/**
 * A process that is being killed closes its connections shortly before it is dead. It is checked again after this
 * delay.
 */
const dyingMs = 25;

interface Watcher {
  readonly contract: string;
  readonly see: (instances: readonly Instance[]) => void;
  seen: string;
}

/**
 * Reads the current announcements and starts to watch them. A killed process disappears immediately for watchers of its
 * contracts, and within a second for all callers. A stopped one (SIGSTOP) stays: it accepts packets and does not
 * answer. Requests to it time out, and `announce` and `withdraw` of other instances wait 200 ms for it. `announce`
 * rejects with Conflict while another running process has the name. It rejects with Unreachable when the announcement
 * cannot be written.
 */
export function openRegistry(parts: RegistryParts): EmbeddedRegistry {
  return new FileRegistry(parts);
}

class FileRegistry implements EmbeddedRegistry {
  private readonly announcements: Announcements;
  private readonly watchers = new Set<Watcher>();
  private readonly states: States;
  private reachable = true;
  /** Instances whose last connection ended since the last poll. */
  private readonly lost = new Set<string>();
  private reportPending = false;
  private reportedVersion = 0;
  private closedAtMs: number | undefined;
  private readonly stops: (() => void)[];
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: RegistryParts) {
    const { clock, directory, notices, doorbells, sockets } = parts;
    this.states = openStates(notices);
    this.announcements = new Announcements({
      folder: directory.instances,
      address: sockets.address,
      clock,
      alive: (address) => doorbells.alive(address),
      notices,
    });
    this.announcements.read();
    const poll = every(clock, pollMs, () => this.keep());
    const deaf = doorbells.onRing((rung) => {
      if (rung.startsWith(topic)) this.debounced(() => this.announcements.readOne(rung.slice(topic.length)));
    });
    sockets.onDeparture((address) => this.attempt(() => this.suspect(address)));
    this.stops = [() => poll.cancel(), deaf];
  }

  async announce(instance: Instance): Promise<void> {
    this.pollForCaller();
    this.checkName(instance.name);
    await this.reportChange(this.announcements.write(instance));
  }

  async withdraw(): Promise<void> {
    const file = this.announcements.withdraw();
    if (file !== undefined) await this.reportChange(file);
  }

  async watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable> {
    this.pollForCaller();
    const watcher = { contract, see, seen: 'nothing' };
    this.watchers.add(watcher);
    this.show(watcher);
    this.holdAll();
    return closable(async () => void this.watchers.delete(watcher));
  }

  async all(): Promise<readonly Instance[]> {
    this.pollForCaller();
    return instancesIn(this.announcements.entries.values());
  }
  async find(name: string): Promise<Instance | undefined> {
    return (await this.all()).find((instance) => instance.name === name);
  }

  instancesOf(module: string): readonly Instance[] {
    const found: Instance[] = [];
    for (const { instance } of this.announcements.entries.values())
      if (instance.module === module) found.push(instance);
    return found;
  }

  close(): Promise<void> {
    return this.closing.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    try {
      await this.withdraw();
    } finally {
      this.closedAtMs = this.parts.clock.now();
      for (const stop of this.stops) stop();
      this.watchers.clear();
    }
  }
  private checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }

  /**
   * Throws Conflict if a running instance has the name. Entries of dead instances were removed before and do not block
   * it.
   */
  private checkName(name: string): void {
    for (const [address, { instance }] of this.announcements.entries) {
      if (instance.name !== name || address === this.parts.sockets.address) continue;
      const message = `an instance named ${name} is already running (process ${instance.pid})`;
      throw new BusError('Conflict', message, { key: name });
    }
  }
  private async reportChange(file: string): Promise<void> {
    this.announcements.readOne(file);
    this.report();
    await this.parts.doorbells.ringAll(topic + file);
  }

  /**
   * Runs work that no caller waits for. A directory or a file in it that cannot be read is reported once, and the known
   * entries stay.
   */
  private attempt(run: () => void): void {
    if (this.closedAtMs !== undefined) return;
    try {
      run();
    } catch (error) {
      return this.states.fails('registry', errorMessage(error));
    }
    const { fault } = this.announcements;
    if (fault === undefined) this.states.works('registry', 'the directory can be read again');
    else this.states.fails('registry', fault, { ready: true }); // all other instances can be called
  }
  private reportReachable(ok: boolean, reason: string): void {
    this.parts.notices.emit({ type: 'state', part: 'announcement', ok, reason });
  }
  private reportMade(what: 'socket' | 'announcement'): void {
    const message = `the ${what} of this instance was removed or changed, and was recreated`;
    this.parts.notices.emit({ type: 'log', level: 'warn', message, fields: { address: this.parts.sockets.address } });
  }

  /**
   * Recreates removed files of this bus, then checks the other instances. Does nothing in a directory that replaced the
   * first one.
   */
  private keep(): void {
    if (this.closedAtMs !== undefined || !this.parts.upkeep.look()) return;
    void this.keepOwn();
    this.attempt(() => this.poll());
  }
  private async keepOwn(): Promise<void> {
    try {
      const isNew = await this.parts.sockets.keep();
      if (this.closedAtMs !== undefined) return;
      const file = this.announcements.keep(isNew);
      if (isNew) this.reportMade('socket');
      if (file !== undefined) {
        this.reportMade('announcement');
        await this.reportChange(file);
      }
      if (!this.reachable) this.reportReachable((this.reachable = true), 'socket and announcement exist again');
    } catch (error) {
      if (this.reachable) this.reportReachable((this.reachable = false), errorMessage(error));
    }
  }

  /**
   * Recreates missing folders and reads all announcements. Throws Closed, StoreBroken when the directory was replaced,
   * and Unreachable when it cannot be read.
   */
  private pollForCaller(): void {
    this.checkOpen();
    this.parts.upkeep.check();
    try {
      this.poll();
    } catch (error) {
      if (error instanceof BusError) throw error;
      const cause = `${this.parts.directory.instances} cannot be read: ${errorMessage(error)}. Check its permissions.`;
      throw new BusError('Unreachable', cause, { outcome: 'not-sent', waitedMs: 0, cause }, error);
    }
  }
  /** Finds changes that no doorbell and no closed connection reported. */
  private poll(): void {
    for (const address of this.announcements.entries.keys()) this.check(address);
    for (const address of this.lost) this.notifyRestored(address);
    this.lost.clear();
    this.announcements.read();
    this.report();
  }
  /**
   * Handles the end of the last connection to `address`: the process is dead or dying, or closed only that connection.
   */
  private suspect(address: string): void {
    if (this.parts.sockets.dead(address)) return this.bury(address);
    this.lost.add(address);
    this.parts.clock.after(dyingMs, () => this.attempt(() => this.removeIfDead(address)));
  }
  private removeIfDead(address: string): void {
    if (!this.parts.doorbells.alive(address)) this.bury(address);
  }
  /** Shows an instance whose connection ended as removed and restored. Callers send it no requests until then. */
  private notifyRestored(address: string): void {
    const entry = this.announcements.entries.get(address);
    if (entry === undefined) return;
    this.announcements.forget(address);
    this.report();
    this.announcements.restore(address, entry);
  }
  private check(address: string): void {
    if (address === this.parts.sockets.address) return;
    if (!this.parts.doorbells.alive(address)) this.bury(address);
    else this.hold(address);
  }
  /**
   * Removes the files of a dead instance. The process that removes them first rings those that had no connection to it.
   */
  private bury(address: string): void {
    const { doorbells } = this.parts;
    const file = doorbells.removeDead(address) ? this.announcements.remove(address) : undefined;
    if (file !== undefined) doorbells.ring(doorbells.others(), topic + file);
    this.debounced(() => this.announcements.forget(address));
  }
  /** Connects to an instance that is watched, so that its end is detected immediately. */
  private hold(address: string): void {
    const { sockets } = this.parts;
    if (address === sockets.address) return; // calls to this instance need no connection
    const serves = this.announcements.entries.get(address)?.instance.serves;
    if (serves === undefined || sockets.connected(address)) return;
    for (const { contract } of this.watchers) {
      if (Object.hasOwn(serves, contract)) return sockets.connect(address);
    }
  }
  private holdAll(): void {
    for (const address of this.announcements.entries.keys()) this.hold(address);
  }

  /**
   * Runs `run`, and notifies watchers at the end of this turn. Many changes in one turn thus cause one notification.
   */
  private debounced(run: () => void): void {
    this.attempt(run);
    if (this.reportPending) return;
    this.reportPending = true;
    setImmediate(() => {
      this.reportPending = false;
      this.attempt(() => this.report());
    });
  }
  private report(): void {
    if (this.announcements.version === this.reportedVersion) return;
    this.reportedVersion = this.announcements.version;
    this.holdAll();
    for (const watcher of this.watchers) this.show(watcher);
  }

  private show(watcher: Watcher): void {
    const serves = ({ serves }: Instance): boolean => Object.hasOwn(serves, watcher.contract);
    const served = [...this.announcements.entries.values()].filter(({ instance }) => serves(instance));
    const seen = served.map(({ file }) => file).join(' ');
    if (seen === watcher.seen) return;
    watcher.seen = seen;
    watcher.see(instancesIn(served));
  }
}

function instancesIn(entries: Iterable<Entry>): readonly Instance[] {
  const instances = [...entries].map((entry) => entry.instance);
  return instances.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.sinceMs - b.sinceMs));
}
