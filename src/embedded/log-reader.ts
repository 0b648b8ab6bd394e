/** Reads a log for an operator: it owns no partition, has no socket, and adds no record. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { closable, type Closable } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import { openStore, type Store } from '../disk/lmdb';
import type { CommittedProgress, Log, Place, ReadMax } from '../ports/log';
import { checkLogFile } from './directory/log-marker';
import { decodeCommit } from './store/commit-format';
import { kinds, partitionKey } from './store/keys';
import { checkLayout } from './store/layout';
import { Reader } from './store/read';
import { Topics } from './store/topics';

/** The methods of a log that read. `committedOffsets` does not name owners. */
export interface LogReader
  extends Pick<Log, 'topics' | 'bounds' | 'peek' | 'committedOffsets'>, Required<Pick<Log, 'storedBytes'>>, Closable {}

/** Opens the log in a directory. Rejects with Config when it has none, or one of a newer version. */
export async function openLogReader(dir: string, clock: Clock, notices: Notices): Promise<LogReader> {
  checkLogFile(dir);
  const folder = join(dir, 'log');
  if (!existsSync(join(folder, 'data.mdb'))) {
    const message = `${dir} has no log: no process has finished opening it`;
    throw new BusError('Config', message, { faults: [message] }, undefined, 'Start a process that uses the directory.');
  }
  const store = await openStore(folder, { clock, durable: true });
  try {
    checkLayout(store);
  } catch (error) {
    await store.release();
    throw error;
  }
  return readerOf(store, notices);
}

function readerOf(store: Store, notices: Notices): LogReader {
  const topics = new Topics(store);
  const bounds = (topic: string) => {
    const { partitions } = topics.get(topic);
    store.refresh();
    return Array.from({ length: partitions }, (_, partition) => topics.bounds(topic, partition));
  };
  return {
    ...closable(() => store.release()),
    topics: async () => topics.all(),
    bounds: async (topic) => bounds(topic),
    async storedBytes(topic) {
      store.refresh();
      return topics.storedBytes(topic);
    },
    async peek(topic: string, from: Place, max: ReadMax) {
      store.refresh();
      const { start, end } = topics.bounds(topic, from.partition);
      return new Reader(store, notices, topic, from.partition).read(Math.max(from.offset, start), end, max).records;
    },
    async committedOffsets(group, topic) {
      const { partitions } = topics.get(topic);
      store.refresh();
      return Array.from({ length: partitions }, (_, partition): readonly CommittedProgress[] => {
        const entry = store.entry(partitionKey(kinds.commit, [group, topic], partition));
        return entry ? [{ partition, ...decodeCommit(entry.value), owner: null }] : [];
      }).flat();
    },
  };
}
