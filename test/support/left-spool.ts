/** Leaves a spool on the disk, as processes that have ended do. */
import { systemClock, systemRandom } from '../../src/base/clock';
import { BusError } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { openSpoolLog } from '../../src/embedded/open';
import { printEnvelope } from '../../src/format/envelope-printer';
import type { Append, Log, Topic } from '../../src/ports/log';
import { openSpool, type Spool } from '../../src/spool/spool';

const around = { clock: systemClock, random: systemRandom };

/** Returns the job with the id `id-<n>` and the body `{"n":<n>}`. */
export function jobRecord(n: number): Append {
  const stamp = { incarnation: '0'.repeat(16), position: n };
  const envelope = { kind: 'work', entry: 'shop.pack', id: `id-${n}`, from: 'web#1', stamp } as const;
  return { partition: 0, key: null, value: Buffer.from(`{"n":${n}}`), headers: { bus: printEnvelope(envelope) } };
}

/** Opens a spool in `dir` in front of `log`. */
export async function openSpoolIn(
  dir: string,
  ns: string,
  log: Pick<Log, 'ensure' | 'append'>,
): Promise<{ readonly spool: Spool; readonly close: () => Promise<void> }> {
  const parts = { ...around, notices: openNotices(), ns };
  const local = await openSpoolLog({ ...parts, name: 'web#1', dir });
  const spool = await openSpool({ ...parts, log, local: local.log, bytesMax: 1e9, topicShare: 1 });
  return {
    spool,
    async close() {
      await spool.close();
      await local.close();
    },
  };
}

/** Leaves `parked` messages that the servers refused, and `waiting` ones. */
export async function leaveSpool(
  dir: string,
  ns: string,
  topic: Topic,
  parked: number,
  waiting: number,
): Promise<void> {
  let refuses = true;
  const { spool, close } = await openSpoolIn(dir, ns, {
    ensure: async () => topic,
    append: async () => {
      if (refuses) throw new BusError('TooLarge', 'a record has 9 bytes, the limit is 1', { bytes: 9, limitBytes: 1 });
      throw new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 });
    },
  });
  await spool.ensure(topic);
  for (let n = 1; n <= parked; n++) {
    const places = await spool.append(topic.name, [jobRecord(n)]);
    await expect(spool.forwarded(topic.name, places, 60_000)).rejects.toMatchObject({ code: 'Config' });
  }
  refuses = false;
  for (let n = parked + 1; n <= parked + waiting; n++) await spool.append(topic.name, [jobRecord(n)]);
  await close();
}
