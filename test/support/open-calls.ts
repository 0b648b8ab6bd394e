/** Instances, and requests without a reply, for tests of the parts of a caller. */
import type { Clock } from '../../src/base/clock';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { OpenCall, type AskOptions } from '../../src/request/open-call';
import { PeerTarget } from '../../src/request/peers';
import { instanceOf } from './instances';

export const maths = defineModule('maths', {
  double: request(unchecked<number>(), unchecked<number>(), { idempotent: true }),
  count: request(unchecked<number>(), unchecked<number>()),
});

export const targetOf = (name: string): PeerTarget<OpenCall> => new PeerTarget<OpenCall>(instanceOf(name));

interface Given {
  readonly id?: string;
  readonly entry?: OpenCall['entry'];
  readonly bytes?: number;
  readonly options?: AskOptions;
  readonly timeoutMs?: number;
}
/** Returns a call, and the list that receives its value or error when it ends. */
export function openCall(clock: Clock, given: Given = {}): { readonly call: OpenCall; readonly ends: unknown[] } {
  const { id = 'id1', entry = maths.double, bytes = 10, options = {}, timeoutMs = 1_000 } = given;
  const ends: unknown[] = [];
  const end = (value: unknown): void => void ends.push(value);
  const [startedMs, begunMs] = [clock.now(), clock.mono()];
  const body = new Uint8Array(bytes);
  return { call: new OpenCall(id, entry, body, options, undefined, startedMs, begunMs, timeoutMs, end, end), ends };
}
/** Makes the target the one to which the call was sent. */
export function sentTo(target: PeerTarget<OpenCall>, call: OpenCall, clock: Clock, position = 1): void {
  call.stamp = { incarnation: 'f', position };
  call.target = target;
  call.reached = 'sent';
  target.sent(call, clock.mono());
}
