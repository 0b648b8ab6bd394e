/** The settings as one connection shows them: read once, then what has changed. */
import type { Setting } from '../../ports/settings';
import type { Connection, Node } from '../session/connection';
import { list } from '../session/nodes';
import { textOf, type Paths } from '../paths';

export class View {
  /** By the name of their node. */
  readonly settings = new Map<string, Setting>();
  private listed = false;
  private reading = false;
  private readonly dirty = new Set<string>();
  /** One for each node for as long as the connection lives, as that keeps all that it was ever given. */
  private readonly changes = new Map<string, () => void>();

  /** `changed` is called when there is something to {@link View.read}. */
  constructor(
    readonly connection: Connection,
    private readonly paths: Paths,
    private readonly changed: () => void,
  ) {}

  /** All is read, and nothing was told to have changed since. */
  get isCurrent(): boolean {
    return this.listed && this.dirty.size === 0 && !this.reading;
  }

  /** Reads what is new; what could not be read, the next time. Never twice at once. */
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

  /** Reads everything once more, for one who must not see less than others do already. */
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
    this.listed = true; // before, as it may change while it is read
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

/** ZooKeeper counts versions from 0, a setting from 1. Undefined without a key, or where nothing is. */
export function settingOf(key: string, node: Node): Setting;
export function settingOf(key: string | undefined, node: Node | undefined): Setting | undefined;
export function settingOf(key: string | undefined, node: Node | undefined): Setting | undefined {
  return key === undefined || !node ? undefined : { key, value: node.data, version: node.version + 1 };
}
