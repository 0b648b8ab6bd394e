/** Builds a fetch request from positions: one offset per partition, although several positions can read it. */
import type { FetchRequest } from '../protocol/types';
import type { FetchBuffer } from './fetch-buffer';

/** One partition of a request, and the positions that its records are for. */
export type AskedPartition = FetchRequest['partitions'][number] & { readonly members: readonly FetchBuffer[] };

/**
 * Returns one request per partition, at the offset of its first position. `apart` is true if another position of the
 * partition is at a different offset.
 */
export function requestFor(
  buffers: readonly FetchBuffer[],
  bytesMax: number,
): { readonly asks: readonly AskedPartition[]; readonly apart: boolean } {
  const bySpot = new Map<string, FetchBuffer[]>();
  for (const buffer of buffers) {
    const key = `${buffer.topic}/${buffer.partition}`;
    const same = bySpot.get(key);
    if (same) same.push(buffer);
    else bySpot.set(key, [buffer]);
  }
  let apart = false;
  const asks = [...bySpot.values()].flatMap((members): AskedPartition[] => {
    const [chosen] = members;
    if (!chosen) return [];
    const { topic, partition, next: offset } = chosen;
    if (members.some(({ next }) => next !== offset)) apart = true;
    return [{ topic, partition, offset, bytesMax, members }];
  });
  return { asks, apart };
}
