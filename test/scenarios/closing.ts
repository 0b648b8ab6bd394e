/** A publisher that is closed in mid stream, and messages above the limits of the bus and of the topic (CA-3c, CA-3e). */
import { join } from 'node:path';
import { isBusError, openBus, type Bus } from 'busbar';
import { openSpoolRepair, spool } from 'busbar/inspect';
import { ConfigResourceTypes, type Admin } from 'kafkajs';
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import { count, ms, type Figure } from './figures';
import { Bytes } from './numbered';
import { alterQuota, later, onKafka, until, withAdmin, type Around, type Scenario } from './scene';

const stream = defineModule('stream', {
  part: work(z.object({ key: z.string(), n: z.number(), bytes: Bytes }), { key: ({ key }) => key }),
});
/** Bytes per second that each broker accepts of a publisher, with and without a spool. */
const quotas = { spool: 16_384, plain: 131_072 };
const partBytes = 10_240;
const outstanding = 16;
/** Longest time of a close: the spool waits for 2 s, callers are waited for up to 5 s. */
const closeMsMax = 10_000;
/** Limit of a topic that an operator has lowered, and a message between it and the limit of the bus. */
const topicBytesMax = 100_000;
const largeBytes = 200_000;

export const closing: Scenario = {
  title: 'a publisher closed in mid stream, and messages above the limits of the bus and of the topic',
  async run(around) {
    const all = [closeEarly(around, true), closeEarly(around, false), exceed(around)];
    return (await Promise.all(all)).flat();
  },
};

/** Outcomes of the calls of a publisher. */
class Stream {
  readonly accepted = new Set<number>();
  readonly rejected = new Map<string, number>();
  #next = 0;

  constructor(private readonly bus: Bus) {}

  /** Submits with a number of calls in flight, until `isOver` returns true. */
  async run(isOver: () => boolean): Promise<void> {
    const bytes = new Uint8Array(partBytes);
    const line = async (): Promise<void> => {
      while (!isOver()) {
        const n = this.#next++;
        const code = await codeOf(this.bus.submit(stream.part, { key: `k${n % 12}`, n, bytes }));
        if (code === 'accepted') this.accepted.add(n);
        else {
          this.rejected.set(code, (this.rejected.get(code) ?? 0) + 1);
          await later(1); // a rejection ends in the same turn, so that nothing else would run
        }
      }
    };
    await Promise.all(Array.from({ length: outstanding }, line));
  }
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'accepted',
    (error: unknown) => (isBusError(error) ? error.code : String(error)),
  );
}

/** Closes a publisher that brokers throttle while it submits, and lets its successor send the rest. */
async function closeEarly(around: Around, hasSpool: boolean): Promise<readonly Figure[]> {
  const given = onKafka({ ...around, ns: `${around.ns}-${hasSpool ? 'spool' : 'plain'}` });
  const sending = { log: false, module: 'sender', ...given, ...(hasSpool && { spool: join(around.dir, 'closed') }) };
  const closeAfter = around.short ? 200 : 2_000;
  await using receiver = await openBus({ log: false, module: stream, ...given });
  const received: number[] = [];
  await receiver.serve(stream, { part: ({ n }) => void received.push(n) });
  await using sender = await openBus(sending);
  const { instance } = sender.self;
  await alterQuota(around, instance, hasSpool ? quotas.spool : quotas.plain);
  const calls = new Stream(sender);
  let closedMs = NaN;
  try {
    const running = calls.run(() => closedMs > 0);
    await until('it is in mid stream', 300_000, () => calls.accepted.size >= closeAfter);
    const beganMs = performance.now();
    await sender.close();
    closedMs = performance.now() - beganMs;
    await running;
  } finally {
    await alterQuota(around, instance, null);
  }
  const left = calls.accepted.size - new Set(received).size;
  const after = await codeOf(sender.submit(stream.part, { key: 'k', n: -1, bytes: new Uint8Array(1) }));
  await using next = await openBus(sending);
  await next.flush();
  await until('all accepted parts are handled', 120_000, () => new Set(received).size >= calls.accepted.size);
  const unknown = received.filter((n) => !calls.accepted.has(n)).length;
  const codes = [...calls.rejected.keys()];
  const what = hasSpool ? 'with a spool' : 'without a spool';
  return [
    {
      row: 'CA-3c',
      what: `closed in mid stream ${what}: accepted, rejected; a call after it`,
      authors: 'IllegalStateException, counted on',
      ours: `${count(calls.accepted.size)}, ${codes.join()}; ${after}`,
      ok: codes.join() === 'Closed' && after === 'Closed',
    },
    {
      row: 'CA-3c',
      what: `close ${what}: time, not handled by then; in the end missing, surplus`,
      authors: 'curves diverge, no figure',
      ours: `${ms(closedMs)}, ${count(left)}; 0, ${received.length - calls.accepted.size}`,
      ok:
        received.length === calls.accepted.size &&
        unknown === 0 &&
        (around.short || !hasSpool || (left > 0 && closedMs <= closeMsMax)),
    },
  ];
}

/** Sends one message above the limit of the bus, and one above that of the topic, each before others of its key. */
async function exceed(around: Around): Promise<readonly Figure[]> {
  const given = onKafka({ ...around, ns: `${around.ns}-large` });
  const dir = join(around.dir, 'large');
  const topic = `${around.ns}-large.stream.work`;
  await using receiver = await openBus({ log: false, module: stream, ...given });
  const received: string[] = [];
  await receiver.serve(stream, { part: ({ key, n, bytes }) => void received.push(`${key} ${n} ${bytes.length}`) });
  await using plain = await openBus({ log: false, module: 'plain', ...given });
  await using spooled = await openBus({ log: false, module: 'spooled', ...given, spool: dir });
  const part = (key: string, n: number, size: number) => ({ key, n, bytes: new Uint8Array(size) });
  const followers = async (bus: Bus, key: string): Promise<void> => {
    await bus.submitAll(
      stream.part,
      Array.from({ length: 20 }, (_, n) => part(key, n + 1, 10)),
    );
    const isFollower = (one: string): boolean => one.startsWith(`${key} `) && one.endsWith(' 10');
    await until('the followers are handled', 60_000, () => received.filter(isFollower).length === 20);
  };
  let limitBytes = 0;
  const refused = await plain.submit(stream.part, part('plain', 0, 1_200_000)).catch((error: unknown) => error);
  if (isBusError(refused, 'TooLarge')) limitBytes = refused.details.limitBytes ?? 0;
  await withAdmin(around, (admin) => alterTopic(admin, topic, topicBytesMax));
  const byTopic = await codeOf(plain.submit(stream.part, part('plain', 0, largeBytes)));
  await followers(plain, 'plain');

  // Brokers apply the setting one after the other, so the first ones can still be written.
  let [large, bySpool] = [0, ''];
  const name = (): string => `spooled ${large} ${largeBytes}`;
  let { parked } = await spool(dir);
  while (parked.length === 0) {
    bySpool = await codeOf(spooled.submit(stream.part, part('spooled', --large, largeBytes)));
    await until('it is written or parked', 60_000, async () => {
      ({ parked } = await spool(dir));
      return parked.length > 0 || received.includes(name());
    });
  }
  await followers(spooled, 'spooled');
  const isHeld = !received.includes(name());
  await withAdmin(around, (admin) => alterTopic(admin, topic, 1_048_588));
  await using repair = await openSpoolRepair(dir);
  await repair.replay(() => true, { signal: AbortSignal.timeout(60_000) });
  await until('the replayed message is handled', 60_000, () => received.includes(name()));
  return [
    {
      row: 'CA-3e',
      what: 'above the limit of the bus; above that of the topic; followers handled',
      authors: 'RecordTooLarge, needs intervention',
      ours: `TooLarge (limit ${count(limitBytes)}); ${byTopic}; 20 of 20`,
      ok: limitBytes === 1_000_000 && byTopic === 'TooLarge',
    },
    {
      row: 'CA-3e',
      what: 'the same from a spool: call, parked, followers handled; after the limit was raised',
      authors: '',
      ours: `${bySpool}, ${parked.map(({ code }) => code).join()}, 20 of 20; replayed and handled`,
      ok: bySpool === 'accepted' && isHeld && parked.length === 1 && parked[0]?.code === 'TooLarge',
    },
  ];
}

/** Changes the limit of a topic, as `kafka-configs.sh` does, and keeps its other settings. */
async function alterTopic(admin: Admin, topic: string, maxMessageBytes: number): Promise<void> {
  const of = { type: ConfigResourceTypes.TOPIC, name: topic };
  const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [of] });
  const entries = (resources[0]?.configEntries ?? []).filter(({ isDefault }) => !isDefault);
  const kept = entries.map(({ configName, configValue }) => ({ name: configName, value: configValue }));
  const limit = { name: 'max.message.bytes', value: String(maxMessageBytes) };
  const configEntries = [...kept.filter(({ name }) => name !== limit.name), limit];
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...of, configEntries }] });
}
