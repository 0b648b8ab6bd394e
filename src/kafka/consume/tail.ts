/** Reads partitions of a topic in order, without a group. It skips or repeats no record without an error. */
import { closable } from '../../base/lifecycle';
import { OutOfRangeError, type ReadMax, type Stored, type Tail } from '../../ports/log';
import type { Fetcher } from './fetcher';
import { whenReady, type FetchBuffer } from './fetch-buffer';
import type { TopicPartition } from '../protocol/types';

/** Opens a tail, which starts to fetch with the first read. */
export function openTail(
  fetcher: Fetcher,
  places: readonly (TopicPartition & { readonly offset: number })[],
  onClose: () => void,
): Tail {
  const ended = new AbortController();
  let buffers: readonly FetchBuffer[] | undefined;
  let turn = 0;

  /**
   * Returns records of the next partition that has some, in rotation, so that a busy one does not starve the rest.
   */
  function takeAny(all: readonly FetchBuffer[], max: ReadMax): readonly Stored[] {
    for (let tried = 0; tried < all.length; tried++) {
      turn = (turn + 1) % all.length;
      const buffer = all[turn];
      const found = buffer ? take(buffer, max) : [];
      if (found.length > 0) return found;
    }
    return [];
  }

  async function read(max: ReadMax): Promise<readonly Stored[]> {
    while (!ended.signal.aborted) {
      const all = (buffers ??= places.map((place) => fetcher.open(place, place.offset)));
      const found = takeAny(all, max);
      if (found.length > 0) return found;
      if (all.some(({ closed }) => closed)) return []; // the fetcher was closed, so no records follow
      await whenReady(() => ended.signal.aborted || all.some(({ hasNews }) => hasNews), all, [ended.signal]);
    }
    return [];
  }

  const closing = closable(() => {
    ended.abort();
    for (const buffer of buffers ?? []) buffer.close();
    onClose();
    return Promise.resolve();
  });
  return { read, ...closing };
}

function take(buffer: FetchBuffer, max: ReadMax): readonly Stored[] {
  try {
    return buffer.take(max);
  } catch (error) {
    if (error instanceof OutOfRangeError) buffer.jump(error.next);
    throw error;
  }
}
