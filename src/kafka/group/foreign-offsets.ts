/** Recognizes offsets that another program has set, such as `kafka-consumer-groups.sh --reset-offsets`. */
import type { Notice } from '../../base/notices';
import type { Commit } from '../../ports/log';
import { decodeState, withoutState } from './owned-partition';

/** Maximum number of partitions that a notice names. */
const namedMax = 3;

/** Returns whether a commit with this metadata is foreign: busbar never leaves the metadata empty. */
export function isForeign(metadata: string): boolean {
  return metadata !== withoutState && decodeState(metadata).length === 0;
}

/** Returns the notice about partitions whose offset another program has set. Undefined if there are none. */
export function foreignOffsetsNotice(
  { group, topic }: { readonly group: string; readonly topic: string },
  foreign: ReadonlyMap<number, Pick<Commit, 'offset'>>,
): Notice | undefined {
  if (foreign.size === 0) return undefined;
  const all = Array.from(foreign, ([partition, { offset }]) => ({ partition, offset }));
  const named = all.slice(0, namedMax).map(({ partition, offset }) => `${partition} to ${offset}`);
  const more = all.length > namedMax ? ` and ${all.length - namedMax} more` : '';
  const message =
    `group ${group}: another program has set its offsets in ${topic}: partition ${named.join(', ')}${more}. ` +
    'Messages before them that were not handled are skipped, and handled messages after them are repeated';
  return { type: 'log', level: 'error', message, fields: { group, topic, offsets: all } };
}
