/** Opens all that one bus needs between the processes of one machine, in one shared directory. */
import type { Clock, Random } from '../base/clock';
import type { Notices } from '../base/notices';
import type { Post } from '../ports/post';
import type { Registry } from '../ports/registry';
import type { Settings } from '../ports/settings';
import { openDirectory } from './directory';
import { newAddress } from './liveness';
import { openPost } from './post';
import { openRegistry } from './registry';
import { openRings } from './rings';
import type { Rings } from './rings';
import { openSettings } from './settings';
import { openSockets } from './sockets';

export interface EmbeddedOptions {
  /** The directory shared by all processes; default `$XDG_STATE_HOME/busbar/<ns>` or `~/.local/state/busbar/<ns>`. */
  readonly dir?: string;
  readonly ns: string;
  /** Name of this instance, for messages of others that name who holds something. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}

export interface Embedded {
  readonly post: Post;
  readonly registry: Registry;
  readonly settings: Settings;
  /** Withdraws, closes the log, then the post. */
  close(): Promise<void>;
}

export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { dir, ns, clock, random, notices } = options;
  const directory = openDirectory(dir, ns, random);
  const sockets = await openSockets({ directory, address: newAddress(random), clock, notices });
  const rings = openRings({ directory, sockets, clock });
  await sweep(rings);
  const registry = openRegistry({ directory, sockets, rings, clock, notices });
  const post = openPost({ sockets, instancesOf: (module) => registry.instancesOf(module), notices });
  const settings = openSettings({ directory, rings, clock, random, notices });
  return {
    post,
    registry,
    settings,
    async close() {
      await registry.close();
      await settings.close();
      await post.close();
    },
  };
}
async function sweep(rings: Rings): Promise<void> {
  for (const other of rings.others()) if (!rings.alive(other)) rings.bury(other);
}
