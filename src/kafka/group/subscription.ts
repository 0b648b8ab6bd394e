/** Encodes the data that group members exchange through Kafka, in formats that Kafka's own tools can read. */
import { createHash } from 'node:crypto';
import { Reader, Writer } from '../protocol/primitives';

/** State that a member declares when it joins. */
export interface Subscription {
  /** Name of the instance. */
  readonly instance: string;
  /** Number of the declaration. The leader returns the number that it received. */
  readonly round: number;
  /** Partitions that it owns and wants to keep. */
  readonly owned: readonly number[];
  /** Partitions that it still owns but is releasing, which it does not undo. */
  readonly giving: readonly number[];
  /** Partitions that it does not own and cannot own, because its earlier work there has not ended. */
  readonly busy: readonly number[];
  /** True if it is leaving the group and wants no partition. */
  readonly leaving: boolean;
  /** Partitions that it lost and wants back, because it can know of finished messages there that are not committed. */
  readonly had: readonly number[];
  /** Hashes of the entries whose messages it handles. Undefined if it does not declare them. */
  readonly serves: readonly string[] | undefined;
  /** Hashes of the entries that it does not serve, but whose messages it found, by partition. */
  readonly misses: Misses;
}
export type Misses = ReadonlyMap<number, readonly string[]>;
/** Assignment that the leader sends to one member. */
export interface Assignment {
  readonly partitions: readonly number[];
  /** True if a partition must still be released, so another rebalance follows. */
  readonly moving: boolean;
  /** Number of the last declaration of this member that the leader received. */
  readonly round: number;
  /** True if this member has a partition that must move on, so it rejoins after it has taken that partition. */
  readonly again: boolean;
}

/** Only protocol of busbar groups. Brokers reject members that support only other protocols. */
export const protocolName = 'busbar';
/** Prefix of busbar data in subscriptions and assignments. Data without it was written by another client. */
const mark = 'busbar1 ';

/** Returns a ConsumerProtocolSubscription, version 0. */
export function encodeSubscription(topic: string, declared: Subscription): Buffer {
  const body = new Writer().i16(0).list([topic], (name, writer) => writer.text(name));
  const misses = Object.fromEntries(declared.misses);
  return body.blob(Buffer.from(mark + JSON.stringify({ ...declared, misses }))).bytes;
}
/** Returns undefined for a subscription that was not written by a busbar member. */
export function decodeSubscription(
  bytes: Uint8Array,
): { readonly topic: string; readonly declared: Subscription } | undefined {
  return orUndefined(() => {
    const body = new Reader(Buffer.from(bytes));
    body.i16();
    const [topic] = body.list((one) => one.text());
    // The types of its fields are checked below.
    const parsed = parseMarked(body.blob()) as Partial<Record<keyof Subscription, unknown>> | undefined;
    if (topic === undefined || !parsed) return undefined;
    const { instance, leaving, round } = parsed;
    const [owned, giving, busy] = [numbers(parsed.owned), numbers(parsed.giving), numbers(parsed.busy)];
    if (typeof instance !== 'string' || typeof round !== 'number' || !owned || !giving || !busy) return undefined;
    // Members of busbar 0.1.0 do not declare these fields.
    const [had, serves, misses] = [numbers(parsed.had ?? []), texts(parsed.serves), missesOf(parsed.misses ?? {})];
    if (!had || !misses || (parsed.serves !== undefined && !serves)) return undefined;
    return {
      topic,
      declared: { instance, round, owned, giving, busy, leaving: leaving === true, had, serves, misses },
    };
  });
}

/** Returns a ConsumerProtocolAssignment, version 0. */
export function encodeAssignment(topic: string, { partitions, moving, round, again }: Assignment): Buffer {
  const listed = partitions.length === 0 ? [] : [topic];
  const body = new Writer()
    .i16(0)
    .list(listed, (name, writer) => writer.text(name).list(partitions, (one, each) => each.i32(one)));
  return body.blob(Buffer.from(mark + JSON.stringify({ moving, round, ...(again && { again }) }))).bytes;
}
/** Returns undefined for an assignment that was not written by a busbar leader. */
export function decodeAssignment(bytes: Uint8Array, topic: string): Assignment | undefined {
  return orUndefined(() => {
    const body = new Reader(Buffer.from(bytes));
    const partitions = readPartitions(body, topic);
    // checked below
    const parsed = parseMarked(body.blob()) as Partial<Record<keyof Assignment, unknown>> | undefined;
    if (!parsed) return undefined;
    return { partitions, moving: parsed.moving === true, round: Number(parsed.round), again: parsed.again === true };
  });
}

/** Returns the partitions of a topic in an assignment of any client. Returns none if it cannot be read. */
export function assignedTo(bytes: Uint8Array, topic: string): readonly number[] {
  return orUndefined(() => readPartitions(new Reader(Buffer.from(bytes)), topic)) ?? [];
}
/** Returns the topics in a subscription of any client. Returns none if it cannot be read. */
export function topicsOf(subscription: Uint8Array): readonly string[] {
  return (
    orUndefined(() => {
      const body = new Reader(Buffer.from(subscription));
      body.i16();
      return body.list((one) => one.text());
    }) ?? []
  );
}

function readPartitions(body: Reader, topic: string): readonly number[] {
  body.i16();
  const all = body.list((one) => ({ name: one.text(), partitions: one.list((each) => each.i32()) }));
  return all.flatMap(({ name, partitions }) => (name === topic ? partitions : []));
}

function parseMarked(bytes: Buffer): object | undefined {
  const text = bytes.toString();
  if (!text.startsWith(mark)) return undefined;
  const value: unknown = JSON.parse(text.slice(mark.length));
  return typeof value === 'object' && value !== null ? value : undefined;
}

function numbers(value: unknown): readonly number[] | undefined {
  // The check before the cast covers each element.
  return Array.isArray(value) && value.every((one) => Number.isInteger(one)) ? (value as number[]) : undefined;
}

function texts(value: unknown): readonly string[] | undefined {
  // The check before the cast covers each element.
  return Array.isArray(value) && value.every((one) => typeof one === 'string') ? (value as string[]) : undefined;
}

function missesOf(value: unknown): Misses | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const all = Object.entries(value).map(([partition, entries]) => [Number(partition), texts(entries)] as const);
  const misses = new Map<number, readonly string[]>();
  for (const [partition, entries] of all) {
    if (!Number.isInteger(partition) || !entries) return undefined;
    misses.set(partition, entries);
  }
  return misses;
}

/** Returns a hash that is short, so that the members of a large group fit into one record of the coordinator. */
export function entryHash(entry: string): string {
  return createHash('sha256').update(entry).digest('base64url').slice(0, hashChars);
}
const hashChars = 6; // 36 bits: two of 1,000 entries collide in about one of 100,000 groups

/** Returns undefined if `read` throws, because other clients can write any data. */
function orUndefined<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
