/** Creates the errors of requests that end without a reply. */
import type { Clock } from '../base/clock';
import { BusError, errorMessage, type SendOutcome } from '../base/errors';
import { moduleOf } from '../contract/contract';
import type { Request } from '../contract/types';
import type { OpenCall } from './open-call';

export function timedOut({
  reached,
  timeoutMs,
  entry,
  target,
}: Pick<OpenCall, 'reached' | 'timeoutMs' | 'entry' | 'target'>): BusError<'Timeout'> {
  const where = {
    'not-sent': 'the request was never sent',
    sent: 'the request was sent',
    waiting: 'the request waits there',
    running: 'the request is running there',
    answered: 'it answered, but the answer did not arrive',
  };
  const who = target ? target.instance.name : `an instance of ${moduleOf(entry)}`;
  return new BusError(
    'Timeout',
    `${entry.name}: no answer from ${who} within ${timeoutMs} ms (timeoutMs); ${where[reached]}`,
    { reached, timeoutMs },
  );
}
/** Returns 'unknown' when an instance can have handled the request, else 'not-sent'. */
function outcomeOf({ reached, mayBeDone }: OpenCall): SendOutcome {
  return reached === 'not-sent' && !mayBeDone ? 'not-sent' : 'unknown';
}
/**
 * Creates the error for a request whose reply was lost. The instance holds nothing of the request, although it has
 * received this one or a later one of the same sender.
 */
export function answerLost(call: OpenCall, clock: Clock): BusError<'Timeout'> {
  const { entry, target, timeoutMs } = call;
  const afterMs = Math.round(clock.mono() - call.begunMs);
  const who = target?.instance.name ?? `an instance of ${moduleOf(entry)}`;
  const message = `${entry.name}: ${who} reported after ${afterMs} ms that the request neither waits nor runs there`;
  const why = 'the request or its answer was lost in transit';
  return new BusError('Timeout', `${message}, and no answer is on its way: ${why}`, { reached: 'answered', timeoutMs });
}
export function noHandler(call: OpenCall): BusError<'NoHandler'> {
  const module = moduleOf(call.entry);
  const { to } = call.options;
  const absent = to === undefined ? `no instance of ${module} is running` : `${to} is not running`;
  return new BusError('NoHandler', `${call.entry.name}: ${absent}`, { module, entry: call.entry.name });
}
export function responderLost(call: OpenCall, instance: string): BusError<'ResponderLost'> {
  const message = `${call.entry.name}: ${instance} died before it answered, so the request can have been done or not`;
  return new BusError('ResponderLost', message, { instance });
}
export function cancelled(call: Pick<OpenCall, 'entry' | 'options'>): BusError<'Cancelled'> {
  const reason: unknown = call.options.signal?.reason;
  return new BusError('Cancelled', `${call.entry.name} was aborted by its caller`, { reason }, reason);
}
export function unreachable(call: OpenCall, clock: Clock, why: string, cause?: unknown): BusError<'Unreachable'> {
  const waitedMs = Math.round(clock.mono() - call.begunMs);
  const message = `${call.entry.name}: no answer within ${waitedMs} ms: ${why}`;
  return new BusError('Unreachable', message, { outcome: outcomeOf(call), waitedMs, cause: why }, cause);
}
export function unread(call: OpenCall, clock: Clock, error: unknown): BusError<'Unreachable'> {
  return unreachable(call, clock, `the registry cannot be read: ${errorMessage(error)}`, error);
}
export function closed(clock: Clock, closedMs: number, call?: OpenCall): BusError<'Closed'> {
  const sinceMs = clock.now() - closedMs;
  const outcome = call ? outcomeOf(call) : 'not-sent';
  return new BusError('Closed', `the bus was closed ${sinceMs} ms ago`, { outcome, sinceMs });
}
/**
 * Returns the error of a call for which no instance is left. When the last instances refused because they are leaving,
 * the caller gets NoHandler, since the bus itself is not at fault.
 */
export function lastRefusal(call: OpenCall): BusError {
  const { refusal } = call;
  if (!refusal || refusal.code !== 'Closed') return refusal ?? noHandler(call);
  const message = `${call.entry.name}: no instance is left that serves it: ${refusal.message}`;
  return new BusError('NoHandler', message, { module: moduleOf(call.entry), entry: call.entry.name }, refusal);
}
export function badTimeout(entry: Request, timeoutMs: number): BusError<'Config'> {
  const fault = `timeoutMs of ${entry.name} is ${timeoutMs}; it must be 0 or more`;
  const remedy = 'Pass timeoutMs as a number of milliseconds, 0 or more.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}
