/** A spool that is too small for what waits: each call is accepted or rejected with SpoolFull, and counted (CA-2b). */
import { join } from 'node:path';
import { isBusError, openBus } from 'busbar';
import { count, mib, type Figure } from './figures';
import { store } from './numbered';
import { alterQuota, onKafka, until, type Around, type Scenario } from './scene';

const eventBytes = 102_400;
const spoolBytesMax = 20 * 1024 * 1024;
/** Bytes per second that each broker accepts. */
const quota = 131_072;
const outstanding = 8;

export const spoolFull: Scenario = {
  title: 'a spool of 20 MiB before throttled brokers: accepted, or rejected with SpoolFull',
  run: async (around) => fill(around),
};

async function fill(around: Around): Promise<readonly Figure[]> {
  const messages = around.short ? 400 : 2_000;
  const spool = join(around.dir, 'spool');
  await using receiver = await openBus({ log: false, module: store, ...onKafka(around) });
  const received: string[] = [];
  await receiver.serve(store, { keep: ({ key, n }) => void received.push(`${key}/${n}`) });
  await using sender = await openBus({
    log: false,
    module: 'sender',
    ...onKafka(around),
    spool,
    spoolBytesMax,
    spoolTopicShare: 1,
  });
  const { instance } = sender.self;
  const bytes = new Uint8Array(eventBytes);
  const accepted: string[] = [];
  const rejected = new Map<string, number>();
  let limitBytes = 0;
  await alterQuota(around, instance, quota);
  try {
    let next = 0;
    const line = async (): Promise<void> => {
      while (next < messages) {
        const n = next++;
        const key = `k${n % 12}`;
        try {
          await sender.submit(store.keep, { key, n, bytes });
          accepted.push(`${key}/${n}`);
        } catch (error) {
          const code = isBusError(error) ? error.code : String(error);
          rejected.set(code, (rejected.get(code) ?? 0) + 1);
          if (isBusError(error, 'SpoolFull')) limitBytes = error.details.limitBytes;
        }
      }
    };
    await Promise.all(Array.from({ length: outstanding }, line));
  } finally {
    await alterQuota(around, instance, null);
  }
  around.say(`${accepted.length} accepted`);
  const expected = new Set(accepted);
  await until('all accepted jobs are received', 120_000, () => received.length >= accepted.length);
  await until('the spool has room again', 60_000, () => !sender.health().reasons.some(({ part }) => part === 'spool'));
  const last = await sender.submit(store.keep, { key: 'last', n: messages, bytes }).then(
    () => 'accepted',
    (error: unknown) => (isBusError(error) ? error.code : String(error)),
  );
  const codes = [...rejected].map(([code, times]) => `${count(times)} ${code}`);
  const total = accepted.length + (rejected.get('SpoolFull') ?? 0);
  const different = new Set(received.filter((one) => expected.has(one))).size;
  return [
    {
      row: 'CA-2b',
      what: `${count(messages)} × 100 KB at once into ${mib(spoolBytesMax)}`,
      authors: '145 lost in silence',
      ours: `${count(accepted.length)} accepted, ${codes.join(', ')} (limit ${mib(limitBytes)})`,
      ok: total === messages && (rejected.get('SpoolFull') ?? 0) > 0 && rejected.size === 1,
    },
    {
      row: 'CA-2b',
      what: 'received of those accepted, and of those rejected',
      authors: '',
      ours: `${count(different)}, ${count(received.filter((one) => !expected.has(one) && !one.startsWith('last')).length)}`,
      ok: different === accepted.length && received.filter((one) => !one.startsWith('last')).length === different,
    },
    { row: 'CA-2b', what: 'a call when the spool has room again', authors: '', ours: last, ok: last === 'accepted' },
  ];
}
