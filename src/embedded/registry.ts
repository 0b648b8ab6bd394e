/** Who is announced: one small file for each instance, doorbells when they change, and connections that end with a process. */
import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock';
import { every } from '../base/clock';
import { BusError, sayError } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import { closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Instance, Registry } from '../ports/registry';
import type { Directory } from './directory';
import { isCode } from './directory';
import { isAddress } from './liveness';
import type { Rings } from './rings';
import type { Sockets } from './sockets';

export interface RegistryParts {
  readonly directory: Directory;
  readonly sockets: Sockets;
  readonly rings: Rings;
  readonly clock: Clock;
  readonly notices: Notices;
}
/** The registry of one open bus. */
export interface EmbeddedRegistry extends Registry {
  /** All announced instances of a module as known now, without reading anything. */
  instancesOf(module: string): readonly Instance[];
}

const topic = 'registry';
/** Doorbells and ended connections tell changes at once; this finds what they missed. */
const pollMs = 500;
/** A process that is being killed closes its connections a little before it is dead. */
const dyingMs = 25;
const fileBytesMax = 64 * 1024;

/** An announcement as it lies in the directory: `<address>.<change>`. A change has a new name, so a file never changes. */
interface Entry {
  readonly file: string;
  readonly instance: Instance;
}
type Entries = ReadonlyMap<string, Entry>;
interface Watcher {
  readonly contract: string;
  readonly see: (instances: readonly Instance[]) => void;
  seen: string;
}

/** Reads what is announced now, and begins to hear of changes. */
export function openRegistry(parts: RegistryParts): EmbeddedRegistry {
  return new FileRegistry(parts);
}

class FileRegistry implements EmbeddedRegistry {
  private readonly watchers = new Set<Watcher>();
  /** By address, the newest announcement of each. */
  private entries: Entries = new Map();
  private readonly broken = new Set<string>();
  private announced: string | undefined;
  private changes = 0;
  private ok = true;
  private closedAtMs: number | undefined;
  private readonly stops: (() => void)[];
  private closing: Promise<void> | undefined;

  constructor(private readonly parts: RegistryParts) {
    const { clock, rings, sockets } = parts;
    this.refresh();
    const poll = every(clock, pollMs, () => this.attempt(() => this.poll()));
    const deaf = rings.onRing((rung) => {
      if (rung === topic) this.attempt(() => this.refresh());
    });
    sockets.onGone((address) => this.attempt(() => this.suspect(address)));
    this.stops = [() => poll.cancel(), deaf];
  }

  async announce(instance: Instance): Promise<void> {
    this.checkOpen();
    const text = JSON.stringify(instance);
    const bytes = Buffer.byteLength(text);
    if (bytes > fileBytesMax) {
      throw new BusError('TooLarge', `${instance.name} announces ${bytes} bytes, the limit is ${fileBytesMax}`, {
        bytes,
        limitBytes: fileBytesMax,
      });
    }
    this.checkName(instance.name);
    const was = this.announced;
    this.announced = `${this.parts.sockets.address}.${++this.changes}`;
    this.write(this.announced, text);
    await this.tellChange(was);
  }

  async withdraw(): Promise<void> {
    const was = this.announced;
    this.announced = undefined;
    if (was !== undefined) await this.tellChange(was);
  }

  async watch(contract: string, see: (instances: readonly Instance[]) => void): Promise<Closable> {
    this.checkOpen();
    const watcher = { contract, see, seen: 'nothing' };
    this.watchers.add(watcher);
    this.refresh();
    return closable(async () => void this.watchers.delete(watcher));
  }

  async all(): Promise<readonly Instance[]> {
    this.checkOpen();
    this.poll();
    return instancesIn(this.entries);
  }

  instancesOf(module: string): readonly Instance[] {
    const found: Instance[] = [];
    for (const { instance } of this.entries.values()) if (instance.module === module) found.push(instance);
    return found;
  }

  close(): Promise<void> {
    return (this.closing ??= this.closeOnce());
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    await this.withdraw();
    this.closedAtMs = this.parts.clock.now();
    for (const stop of this.stops) stop();
    this.watchers.clear();
  }
  private checkOpen(): void {
    if (this.closedAtMs === undefined) return;
    throw new BusError('Closed', 'this bus is closed', { sinceMs: this.parts.clock.now() - this.closedAtMs });
  }

  /** A name is unique among the living; of the dead nothing stands in the way. */
  private checkName(name: string): void {
    this.poll();
    for (const [address, other] of this.entries) {
      if (other.instance.name !== name || address === this.parts.sockets.address) continue;
      throw new BusError('Conflict', `an instance called ${name} is alive already (process ${other.instance.pid})`, {
        key: name,
      });
    }
  }
  private write(file: string, text: string): void {
    const draft = this.path(`~${file}`);
    try {
      fs.writeFileSync(draft, text, { mode: 0o600 });
      fs.renameSync(draft, this.path(file));
    } catch (error) {
      const message = `${this.path(file)} cannot be written: ${sayError(error)}; see to its rights and space`;
      throw new BusError('Unreachable', message, { waitedMs: 0, cause: sayError(error) }, error);
    }
  }
  private path(file: string): string {
    return path.join(this.parts.directory.instances, file);
  }
  private async tellChange(was: string | undefined): Promise<void> {
    if (was !== undefined) fs.rmSync(this.path(was), { force: true });
    this.refresh();
    await this.parts.rings.ringAll(topic);
  }

  /** For what nobody waits for: a directory that cannot be read (any more) is told, once, and what was known stays. */
  private attempt(run: () => void): void {
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

  /** Looks for what no doorbell and no ended connection told. */
  private poll(): void {
    for (const address of this.entries.keys()) this.check(address);
    this.refresh();
  }
  /** The last connection to `address` ended: it is dead, or dying, or has only closed that connection. */
  private suspect(address: string): void {
    if (this.closedAtMs !== undefined) return;
    if (this.parts.rings.alive(address)) this.parts.clock.after(dyingMs, () => this.attempt(() => this.check(address)));
    else this.bury(address);
  }
  private check(address: string): void {
    if (this.closedAtMs !== undefined || address === this.parts.sockets.address) return;
    if (!this.parts.rings.alive(address)) this.bury(address);
    else this.hold(address);
  }
  /** Whoever is watched is connected to: its end is noticed at once then. */
  private hold(address: string): void {
    const serves = this.entries.get(address)?.instance.serves;
    if (serves === undefined || this.parts.sockets.connected(address)) return;
    for (const { contract } of this.watchers)
      if (Object.hasOwn(serves, contract)) return this.parts.sockets.connect(address);
  }
  /** Removes what the dead left. Its address never comes back, so nothing of a successor can be hit. */
  private bury(address: string): void {
    const first = this.parts.rings.bury(address);
    for (const file of this.files()) if (addressOf(file) === address) fs.rmSync(this.path(file), { force: true });
    this.refresh();
    if (first) void this.parts.rings.ringAll(topic);
  }

  private files(): readonly string[] {
    return fs.readdirSync(this.parts.directory.instances).filter((file) => isAddress(addressOf(file)));
  }

  /** Reads the directory, and what is new in it; tells those who watch. */
  private refresh(): void {
    const was = this.entries;
    const now = new Map<string, Entry>();
    for (const [address, file] of newest(this.files())) {
      const known = was.get(address);
      const entry = known?.file === file ? known : this.read(address, file, known === undefined);
      if (entry !== undefined) now.set(address, entry);
    }
    this.entries = now;
    this.tellNotices(was, now);
    for (const address of now.keys()) this.hold(address);
    for (const watcher of this.watchers) this.show(watcher);
  }

  private read(address: string, file: string, isNew: boolean): Entry | undefined {
    if (this.broken.has(file)) return undefined;
    if (isNew && address !== this.parts.sockets.address && !this.parts.rings.alive(address)) {
      this.parts.rings.bury(address);
      fs.rmSync(this.path(file), { force: true });
      return undefined;
    }
    try {
      const instance: unknown = JSON.parse(fs.readFileSync(this.path(file), 'utf8'));
      if (isInstance(instance)) return { file, instance };
      throw new Error('no announcement');
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      this.broken.add(file);
      this.parts.notices.tell({
        type: 'dropped',
        what: 'announcement',
        reason: `${this.path(file)}: ${sayError(error)}`,
      });
      return undefined;
    }
  }

  private tellNotices(was: Entries, now: Entries): void {
    const tell = (entries: Entries, missing: Entries, change: 'up' | 'gone'): void => {
      for (const [address, { instance }] of entries) {
        if (!missing.has(address)) this.parts.notices.tell({ type: 'instance', instance: instance.name, change });
      }
    };
    tell(was, now, 'gone');
    tell(now, was, 'up');
  }

  private show(watcher: Watcher): void {
    const served = new Map(
      [...this.entries].filter(([, { instance }]) => Object.hasOwn(instance.serves, watcher.contract)),
    );
    const seen = [...served.values()]
      .map((entry) => entry.file)
      .sort()
      .join(' ');
    if (seen === watcher.seen) return;
    watcher.seen = seen;
    watcher.see(instancesIn(served));
  }
}

function addressOf(file: string): string {
  return file.slice(0, Math.max(0, file.lastIndexOf('.')));
}
/** The newest file of each address: while an announcement changes, the one before is still there. */
function newest(files: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const file of files) {
    const address = addressOf(file);
    const other = found.get(address);
    if (other === undefined || changeOf(other) < changeOf(file)) found.set(address, file);
  }
  return found;
}
function changeOf(file: string): number {
  return Number(file.slice(file.lastIndexOf('.') + 1));
}

function instancesIn(entries: Entries): readonly Instance[] {
  const instances = [...entries.values()].map((entry) => entry.instance);
  return instances.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.sinceMs - b.sinceMs));
}

const shape: Readonly<Record<keyof Instance, string>> = {
  name: 'string',
  module: 'string',
  address: 'string',
  incarnation: 'string',
  host: 'string',
  pid: 'number',
  sinceMs: 'number',
  version: 'string',
  serves: 'object',
  leaving: 'boolean',
};
function isInstance(value: unknown): value is Instance {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  return Object.entries(shape).every(([key, type]) => typeof fields.get(key) === type) && fields.get('serves') !== null;
}
