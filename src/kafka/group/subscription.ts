/** What members of a group tell each other through Kafka, within the forms that its own tools can read. */
import { createHash } from 'node:crypto';
import { Reader, Writer } from '../protocol/primitives';

/** What a member says of itself when it joins. */
export interface Declared {
  /** Name of the instance. */
  readonly instance: string;
  /** Counts what it said; whoever answers says what was heard. */
  readonly round: number;
  /** What it has and wants to keep. */
  readonly owned: readonly number[];
  /** What it still has but is giving up; it does not change its mind. */
  readonly giving: readonly number[];
  /** What it has not, but cannot take: what it did there before has not ended. */
  readonly busy: readonly number[];
  /** It wants nothing any more. */
  readonly leaving: boolean;
  /** Partitions that it lost and wants back: it may know of finished messages there that are not committed. */
  readonly had: readonly number[];
  /** Entries whose messages it handles, as hashes; undefined when it does not state them. */
  readonly serves: readonly string[] | undefined;
  /** By partition, entries whose messages it met there and does not serve, as hashes. */
  readonly misses: Misses;
}
export type Misses = ReadonlyMap<number, readonly string[]>;
/** What the leader tells one member. */
export interface Assigned {
  readonly partitions: readonly number[];
  /** Something waits to be given up: another round comes soon. */
  readonly moving: boolean;
  /** The word of this member that the leader has heard. */
  readonly round: number;
  /** This member has a partition that must move on: it joins again as soon as it has taken it. */
  readonly again: boolean;
}

/** The one protocol of our groups; brokers refuse members that know only others. */
export const protocolName = 'busbar';
/** Before what is ours in both forms: anything without it was written by somebody else. */
const mark = 'busbar1 ';

/** ConsumerProtocolSubscription, version 0. */
export function encodeDeclared(topic: string, declared: Declared): Buffer {
  const body = new Writer().i16(0).list([topic], (name, writer) => writer.text(name));
  const misses = Object.fromEntries(declared.misses);
  return body.blob(Buffer.from(mark + JSON.stringify({ ...declared, misses }))).bytes;
}
/** undefined for what no member of ours says. */
export function decodeDeclared(bytes: Uint8Array): { readonly topic: string; readonly declared: Declared } | undefined {
  return orUndefined(() => {
    const body = new Reader(Buffer.from(bytes));
    body.i16();
    const [topic] = body.list((one) => one.text());
    const said = parseMarked(body.blob()) as Partial<Record<keyof Declared, unknown>> | undefined; // checked below
    if (topic === undefined || !said) return undefined;
    const { instance, leaving, round } = said;
    const [owned, giving, busy] = [numbers(said.owned), numbers(said.giving), numbers(said.busy)];
    if (typeof instance !== 'string' || typeof round !== 'number' || !owned || !giving || !busy) return undefined;
    // Members of busbar 0.1.0 do not state these.
    const [had, serves, misses] = [numbers(said.had ?? []), texts(said.serves), missesOf(said.misses ?? {})];
    if (!had || !misses || (said.serves !== undefined && !serves)) return undefined;
    return {
      topic,
      declared: { instance, round, owned, giving, busy, leaving: leaving === true, had, serves, misses },
    };
  });
}

/** ConsumerProtocolAssignment, version 0. */
export function encodeAssigned(topic: string, { partitions, moving, round, again }: Assigned): Buffer {
  const listed = partitions.length === 0 ? [] : [topic];
  const body = new Writer()
    .i16(0)
    .list(listed, (name, writer) => writer.text(name).list(partitions, (one, each) => each.i32(one)));
  return body.blob(Buffer.from(mark + JSON.stringify({ moving, round, ...(again && { again }) }))).bytes;
}
/** undefined for what no leader of ours says. */
export function decodeAssigned(bytes: Uint8Array, topic: string): Assigned | undefined {
  return orUndefined(() => {
    const body = new Reader(Buffer.from(bytes));
    const partitions = readPartitions(body, topic);
    // checked below
    const said = parseMarked(body.blob()) as Partial<Record<keyof Assigned, unknown>> | undefined;
    if (!said) return undefined;
    return { partitions, moving: said.moving === true, round: Number(said.round), again: said.again === true };
  });
}

/** The partitions of a topic in anybody's assignment; none where it cannot be read. */
export function assignedTo(bytes: Uint8Array, topic: string): readonly number[] {
  return orUndefined(() => readPartitions(new Reader(Buffer.from(bytes)), topic)) ?? [];
}
/** The topics that anybody subscribed to; none where it cannot be read. */
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
  const said = bytes.toString();
  if (!said.startsWith(mark)) return undefined;
  const value: unknown = JSON.parse(said.slice(mark.length));
  return typeof value === 'object' && value !== null ? value : undefined;
}

function numbers(value: unknown): readonly number[] | undefined {
  // each is
  return Array.isArray(value) && value.every((one) => Number.isInteger(one)) ? (value as number[]) : undefined;
}

function texts(value: unknown): readonly string[] | undefined {
  // each is
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

/** Short, so that the members of a large group fit into one record of the coordinator. */
export function entryHash(entry: string): string {
  return createHash('sha256').update(entry).digest('base64url').slice(0, hashChars);
}
const hashChars = 6; // 36 bits: among 1,000 entries two are alike once in 100,000 groups

/** Others may write anything: what cannot be read is not there. */
function orUndefined<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
