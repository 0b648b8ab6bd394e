/** Defines a request (its bytes and the decoder of its response) and the parts that many requests share. */
import { Reader, Writer } from './primitives';
import { errorOf, WireError } from './errors';
import type { Answer, Node, Spot } from './types';

/** Encoded request with the decoder of its response. */
export interface Ask<T> {
  readonly name: string;
  readonly key: number;
  readonly version: number;
  readonly body: Buffer;
  readonly read: (answer: Bytes) => T;
}
export function ask<T>(name: string, key: number, version: number, body: Writer, read: (answer: Bytes) => T): Ask<T> {
  return { name, key, version, body: body.bytes, read };
}

/** Reader of a response. `throttleMs` is the delay that the broker imposes on this client after it. */
export class Bytes extends Reader {
  throttleMs = 0;
  throttle(): this {
    this.throttleMs = this.i32();
    return this;
  }
}

/** Encodes a request for the API versions that the broker supports. */
export function apiVersions(): Ask<Record<number, { minVersion: number; maxVersion: number }>> {
  return ask('ApiVersions', 18, 2, new Writer(), (answer) => {
    failIf(answer.i16(), 'versions');
    const rows = answer.list((one) => ({ key: one.i16(), minVersion: one.i16(), maxVersion: one.i16() }));
    answer.throttle();
    return Object.fromEntries(rows.map(({ key, ...range }) => [key, range]));
  });
}

export function failIf(number: number, about: string, said?: string | null): void {
  const error = errorOf(number, about, said);
  if (error) throw error;
}

export function keyOf({ topic, partition }: Spot): string {
  return `${topic}/${partition}`;
}

/** Writes partitions grouped by topic, since Kafka's format names each topic once. */
export function writeByTopic<S extends Spot>(body: Writer, spots: readonly S[], write: (spot: S) => unknown): void {
  body.list(byTopic(spots), ([topic, list]) => body.text(topic).list(list, write));
}
export function byTopic<S extends Spot>(spots: readonly S[]): readonly (readonly [topic: string, spots: S[]])[] {
  const topics = new Map<string, S[]>();
  for (const spot of spots) {
    const list = topics.get(spot.topic);
    if (list) list.push(spot);
    else topics.set(spot.topic, [spot]);
  }
  return [...topics];
}
export function readByTopic<T>(answer: Bytes, read: (answer: Bytes, topic: string) => T): T[] {
  return answer
    .list((one) => {
      const topic = one.text();
      return one.list((each) => read(each, topic));
    })
    .flat();
}

/** Returns a result for each requested partition, in that order; UNVERIFIED for one that the response lacks. */
export function verified<S extends Spot, A extends Answer>(
  asked: readonly S[],
  answers: readonly A[],
  without: (spot: S, error: WireError) => A,
): A[] {
  const named = new Map(answers.map((answer) => [keyOf(answer), answer]));
  return asked.map((spot) => {
    const key = keyOf(spot);
    return named.get(key) ?? without(spot, new WireError('UNVERIFIED', `the response does not contain ${key}`));
  });
}

export function readNode(answer: Bytes): Node {
  return { node: answer.i32(), host: answer.text(), port: answer.i32() };
}
