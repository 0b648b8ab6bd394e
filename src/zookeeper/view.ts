/** The settings as one connection shows them: read once, then what has changed. */
import type { Setting } from '../ports/settings';
import type { Connection, Node } from './connection';
import { list } from './nodes';
import { textOf, type Paths } from './paths';

export class View {
  /** By the name of their node. */
  readonly settings = new Map<string, Setting>();
  private listed = false;
  private readonly dirty = new Set<string>();

  /** `changed` is called when there is something to {@link View.read}. */
  constructor(
    readonly connection: Connection,
    private readonly paths: Paths,
    private readonly changed: () => void,
  ) {}

  /** Reads what is new; after it rejected, the view must not be used any more. Never twice at once. */
  async read(): Promise<void> {
    if (!this.listed) this.compare(await this.list());
    const dirty = [...this.dirty];
    this.dirty.clear();
    await Promise.all(dirty.map((node) => this.readOne(node)));
  }

  /** Reads everything once more, for one who must not see less than others do already. */
  async readAll(): Promise<void> {
    this.listed = false;
    for (const node of this.settings.keys()) this.dirty.add(node);
    await this.read();
  }

  private list(): Promise<readonly string[]> {
    this.listed = true;
    return list(this.connection, this.paths.settings, () => {
      this.listed = false;
      this.changed();
    });
  }
  private compare(nodes: readonly string[]): void {
    const there = new Set(nodes);
    for (const node of this.settings.keys()) if (!there.has(node)) this.settings.delete(node);
    for (const node of there) if (!this.settings.has(node) && textOf(node) !== undefined) this.dirty.add(node);
  }

  private async readOne(name: string): Promise<void> {
    const node = await this.connection.read(`${this.paths.settings}/${name}`, () => {
      this.dirty.add(name);
      this.changed();
    });
    const setting = settingOf(textOf(name), node);
    if (setting) this.settings.set(name, setting);
    else this.settings.delete(name);
  }
}

/** ZooKeeper counts versions from 0, a setting from 1. Undefined without a key, or where nothing is. */
export function settingOf(key: string, node: Node): Setting;
export function settingOf(key: string | undefined, node: Node | undefined): Setting | undefined;
export function settingOf(key: string | undefined, node: Node | undefined): Setting | undefined {
  return key === undefined || !node ? undefined : { key, value: node.data, version: node.version + 1 };
}
