/** Who is announced and alive: read from the shared directory, told by doorbells, ended by connections that end. */
import type { Clock } from '../base/clock';
import { every } from '../base/clock';
import { BusError, sayError } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import { closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Instance, Registry } from '../ports/registry';
import type { Directory } from './directory/directory';
import type { Rings } from './sockets/doorbells';
import type { Entry } from './directory/announcements';
import { Roll } from './directory/announcements';
import type { Sockets } from './sockets/sockets';
import type { Upkeep } from './directory/upkeep';

export interface RegistryParts {
  readonly directory: Directory;
  readonly sockets: Sockets;
  readonly rings: Rings;
  readonly upkeep: Pick<Upkeep, 'look' | 'check'>;
  readonly clock: Clock;
  readonly notices: Notices;
}
/** The registry of one open bus. */
export interface EmbeddedRegistry extends Registry {
  /** All announced instances of a module as known now, without reading anything. */
  instancesOf(module: string): readonly Instance[];
}

/** A ring names the file that came or went, so that nobody need read the others. */
const topic = 'registry ';
/** Doorbells and ended connections tell changes at once; this finds what they missed. */
const pollMs = 500;
/** A process that is being killed closes its connections a little before it is dead. */
const dyingMs = 25;

interface Watcher {
  readonly contract: string;
  readonly see: (instances: readonly Instance[]) => void;
  seen: string;
}

/**
 * Reads what is announced now, and begins to hear of changes. A killed process is gone at once for those who watch a
 * contract of it, within a second for all. A stopped one (SIGSTOP) stays: it takes packets and does not answer, so
 * requests to it time out, and `announce` and `withdraw` of others wait 200 ms for it. `announce` rejects with Conflict
 * while another living process has the name, and with Unreachable when the announcement cannot be written.
 */
export function openRegistry(parts: RegistryParts): EmbeddedRegistry {
  return new RollRegistry(parts);
}

class RollRegistry implements EmbeddedRegistry {
  private readonly roll: Roll;
  private readonly watchers = new Set<Watcher>();
  private ok = true;
  private reachable = true;
  /** Instances whose last connection ended since the last poll. */
  private readonly lost = new Set<string>();
  private telling = false;
  private toldVersion = 0;
  private closedAtMs: number | undefined;
  private readonly stops: (() => void)[];
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: RegistryParts) {
    const { clock, directory, notices, rings, sockets } = parts;
    this.roll = new Roll({
      folder: directory.instances,
      address: sockets.address,
      clock,
      alive: (address) => rings.alive(address),
      notices,
    });
    this.roll.read();
    const poll = every(clock, pollMs, () => this.keep());
    const deaf = rings.onRing((rung) => {
      if (rung.startsWith(topic)) this.soon(() => this.roll.readOne(rung.slice(topic.length)));
    });
    sockets.onGone((address) => this.attempt(() => this.suspect(address)));
    this.stops = [() => poll.cancel(), deaf];
  }

  async announce(instance: Instance): Promise<void> {
    this.checkOpen();
    this.parts.upkeep.check();
    this.poll();
    this.checkName(instance.name);
    await this.tellChange(this.roll.write(instance));
  }

  async withdraw(): Promise<void> {
    const file = this.roll.withdraw();
    if (file !== undefined) await this.tellChange(file);
  }

  async watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable> {
    this.checkOpen();
    this.poll();
    const watcher = { contract, see, seen: 'nothing' };
    this.watchers.add(watcher);
    this.show(watcher);
    this.holdAll();
    return closable(async () => void this.watchers.delete(watcher));
  }

  async all(): Promise<readonly Instance[]> {
    this.checkOpen();
    this.poll();
    return instancesIn(this.roll.entries.values());
  }
  async find(name: string): Promise<Instance | undefined> {
    return (await this.all()).find((instance) => instance.name === name);
  }

  instancesOf(module: string): readonly Instance[] {
    const found: Instance[] = [];
    for (const { instance } of this.roll.entries.values()) if (instance.module === module) found.push(instance);
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

  /** A name is unique among the living; of the dead nothing stands in the way. */
  private checkName(name: string): void {
    for (const [address, { instance }] of this.roll.entries) {
      if (instance.name !== name || address === this.parts.sockets.address) continue;
      const message = `an instance called ${name} is alive already (process ${instance.pid})`;
      throw new BusError('Conflict', message, { key: name });
    }
  }
  private async tellChange(file: string): Promise<void> {
    this.roll.readOne(file);
    this.tell();
    await this.parts.rings.ringAll(topic + file);
  }

  /** For what nobody waits for: a directory that cannot be read (any more) is told, once, and what was known stays. */
  private attempt(run: () => void): void {
    if (this.closedAtMs !== undefined) return;
    try {
      run();
      if (!this.ok) this.tellState((this.ok = true), 'the directory can be read again');
    } catch (error) {
      if (this.ok) this.tellState((this.ok = false), sayError(error));
    }
  }
  private tellState(ok: boolean, reason: string): void {
    this.parts.notices.tell({ type: 'state', part: 'registry', ok, reason });
  }
  private tellReachable(ok: boolean, reason: string): void {
    this.parts.notices.tell({ type: 'state', part: 'announcement', ok, reason });
  }
  private tellMade(what: 'socket' | 'announcement'): void {
    const message = `the ${what} of this instance was removed or changed, and was made again`;
    this.parts.notices.tell({ type: 'log', level: 'warn', message, fields: { address: this.parts.sockets.address } });
  }

  /** Makes again what was removed of this bus, then looks at the others; not in a directory that replaced the first. */
  private keep(): void {
    if (this.closedAtMs !== undefined || !this.parts.upkeep.look()) return;
    void this.keepOwn();
    this.attempt(() => this.poll());
  }
  private async keepOwn(): Promise<void> {
    try {
      const isNew = await this.parts.sockets.keep();
      if (this.closedAtMs !== undefined) return;
      const file = this.roll.keep(isNew);
      if (isNew) this.tellMade('socket');
      if (file !== undefined) {
        this.tellMade('announcement');
        await this.tellChange(file);
      }
      if (!this.reachable) this.tellReachable((this.reachable = true), 'socket and announcement exist again');
    } catch (error) {
      if (this.reachable) this.tellReachable((this.reachable = false), sayError(error));
    }
  }

  /** Looks for what no doorbell and no ended connection told. */
  private poll(): void {
    for (const address of this.roll.entries.keys()) this.check(address);
    for (const address of this.lost) this.showAgain(address);
    this.lost.clear();
    this.roll.read();
    this.tell();
  }
  /** The last connection to `address` ended: it is dead, or dying, or has only closed that connection. */
  private suspect(address: string): void {
    if (this.parts.sockets.dead(address)) return this.bury(address);
    this.lost.add(address);
    this.parts.clock.after(dyingMs, () => this.attempt(() => this.buryIfDead(address)));
  }
  private buryIfDead(address: string): void {
    if (!this.parts.rings.alive(address)) this.bury(address);
  }
  /** Callers ask no instance whose connection ended. One that lives all the same is shown to them as gone and back. */
  private showAgain(address: string): void {
    const entry = this.roll.entries.get(address);
    if (entry === undefined) return;
    this.roll.forget(address);
    this.tell();
    this.roll.restore(address, entry);
  }
  private check(address: string): void {
    if (address === this.parts.sockets.address) return;
    if (!this.parts.rings.alive(address)) this.bury(address);
    else this.hold(address);
  }
  /** Removes what a dead one left; whoever comes first tells those who had no connection to it. */
  private bury(address: string): void {
    const { rings } = this.parts;
    const file = rings.bury(address) ? this.roll.remove(address) : undefined;
    if (file !== undefined) rings.ring(rings.others(), topic + file);
    this.soon(() => this.roll.forget(address));
  }
  /** Whoever is watched is connected to: its end is noticed at once then. */
  private hold(address: string): void {
    const { sockets } = this.parts;
    if (address === sockets.address) return; // a call to ourselves takes no connection
    const serves = this.roll.entries.get(address)?.instance.serves;
    if (serves === undefined || sockets.connected(address)) return;
    for (const { contract } of this.watchers) {
      if (Object.hasOwn(serves, contract)) return sockets.connect(address);
    }
  }
  private holdAll(): void {
    for (const address of this.roll.entries.keys()) this.hold(address);
  }

  /** Does `run`, and tells those who watch at the end of this turn: when many come or go at once, only once. */
  private soon(run: () => void): void {
    this.attempt(run);
    if (this.telling) return;
    this.telling = true;
    setImmediate(() => {
      this.telling = false;
      this.attempt(() => this.tell());
    });
  }
  private tell(): void {
    if (this.roll.version === this.toldVersion) return;
    this.toldVersion = this.roll.version;
    this.holdAll();
    for (const watcher of this.watchers) this.show(watcher);
  }

  private show(watcher: Watcher): void {
    const serves = ({ serves }: Instance): boolean => Object.hasOwn(serves, watcher.contract);
    const served = [...this.roll.entries.values()].filter(({ instance }) => serves(instance));
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
