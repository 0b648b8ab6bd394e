/** Records the layout of the data in a log, so that an older version does not misread that of a newer one. */
import { BusError } from '../../base/errors';
import type { Store } from '../../disk/lmdb';
import { keyOf, kinds } from './keys';
import { mark } from './topics';

/** Layout that this version writes, and the newest one that it reads. */
const layout = 1;

/** Throws Config for a newer layout than this version reads. Returns whether the log has a layout. */
export function checkLayout(log: Store): boolean {
  log.refresh();
  const found = log.version(keyOf(kinds.layout, []));
  if (found === undefined || found <= layout) return found !== undefined;
  const layouts = `layout ${found}, this one supports ${layout}`;
  const message = `${log.path} was written by a newer busbar (${layouts}). Upgrade this process`;
  const remedy = 'Upgrade this process, or let it use another directory.';
  throw new BusError('Config', message, { faults: [message] }, undefined, remedy);
}

/** Writes the layout unless the log has one. Rejects like {@link checkLayout}. */
export async function keepLayout(log: Store): Promise<void> {
  if (checkLayout(log)) return;
  const key = keyOf(kinds.layout, []);
  await log.within(log.write({ key, version: null }, [{ key, value: mark, version: layout }]));
}
