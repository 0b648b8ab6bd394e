/** Settings as read over one connection: completely at first, then only the changes. */
import type { Setting } from '../../ports/settings';
import type { Connection, Node } from '../session/connection';
import { list } from '../session/nodes';
import { textOf, type Paths } from '../paths';

/** Settings of one connection. A new connection needs a new snapshot, because its watches are new. */
export class Snapshot {
  /** Settings by the name of their node. */
  readonly settings = new Map<string, Setting>();
  private listed = false;
  private reading = false;
  private readonly dirty = new Set<string>();
  /**
   * Watch callbacks by node: one for the whole connection, because the library keeps every callback that it was given.
   */
  private readonly changes = new Map<string, () => void>();

  /** Creates an empty snapshot. `changed` is called when {@link Snapshot.read} has something to read. */
  constructor(
    readonly connection: Connection,
    private readonly paths: Paths,
    private readonly changed: () => void,
  ) {}

  /** True if everything was read and no change was reported since. */
  get isCurrent(): boolean {
    return this.listed && this.dirty.size === 0 && !this.reading;
  }

  /** Reads the changes. Nodes that could not be read are read by the next call. Calls must not overlap. */
  async read(): Promise<void> {
    this.reading = true;
    try {
      await this.readNew();
    } finally {
      this.reading = false;
    }
  }
  private async readNew(): Promise<void> {
    if (!this.listed) this.compare(await this.list());
    const dirty = [...this.dirty];
    const ends = await Promise.allSettled(dirty.map((node) => this.readOne(node)));
    const failed = ends.find((end) => end.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Reads everything again, for a caller that must see all earlier writes. */
  async readAll(): Promise<void> {
    this.listed = false;
    for (const node of this.settings.keys()) this.dirty.add(node);
    await this.read();
  }

  private readonly listChanged = (): void => {
    this.listed = false;
    this.changed();
  };
  private async list(): Promise<readonly string[]> {
    this.listed = true; // set before the request, because the list can change while it is read
    try {
      return await list(this.connection, this.paths.settings, this.listChanged);
    } catch (error) {
      this.listed = false;
      throw error;
    }
  }
  private compare(nodes: readonly string[]): void {
    const there = new Set(nodes);
    for (const node of this.changes.keys()) if (!there.has(node)) this.changes.delete(node);
    for (const node of this.settings.keys()) if (!there.has(node)) this.settings.delete(node);
    for (const node of there) if (!this.settings.has(node) && textOf(node) !== undefined) this.dirty.add(node);
  }

  private async readOne(name: string): Promise<void> {
    this.dirty.delete(name);
    const node = await this.readNode(name);
    const setting = settingOf(textOf(name), node);
    if (setting) this.settings.set(name, setting);
    else this.settings.delete(name);
  }
  private async readNode(name: string): Promise<Node | undefined> {
    const changed = this.changes.get(name) ?? ((): void => this.nodeChanged(name));
    this.changes.set(name, changed);
    try {
      return await this.connection.read(`${this.paths.settings}/${name}`, changed);
    } catch (error) {
      this.dirty.add(name);
      throw error;
    }
  }
  private nodeChanged(name: string): void {
    this.dirty.add(name);
    this.changed();
  }
}

/**
 * Returns the setting of a node, or undefined without a key or a node. Versions in ZooKeeper start at 0, those of a
 * setting at 1.
 */
export function settingOf(key: string, node: Node): Setting;
export function settingOf(key: string | undefined, node: Node | undefined): Setting | undefined;
export function settingOf(key: string | undefined, node: Node | undefined): Setting | undefined {
  return key === undefined || !node ? undefined : { key, value: node.data, version: node.version + 1 };
}
