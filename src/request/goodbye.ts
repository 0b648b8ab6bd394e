/** Notifies callers before this instance stops, so that none of their requests is still in transit. */
import { within, type Clock } from '../base/clock';
import { errorMessage, isBusError } from '../base/errors';
import { deferred, type Deferred } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import type { Envelope } from '../format/envelope-fields';
import { printEnvelope } from '../format/envelope-printer';
import type { Messenger } from '../ports/messenger';
import type { Caller } from './caller';

export interface Leaver {
  /** Records the address of a caller that sent a request. */
  recordCaller(address: string): void;
  /** Handles a packet of an instance that is leaving, or the acknowledgement of this instance's own notice. */
  leave(envelope: Envelope, from: string): void;
  gone(address: string): void;
  /**
   * Notifies all callers and all possible callers. Resolves when each has acknowledged the notice or died. Packets keep
   * their order, so every request that a caller sent before its acknowledgement has arrived by then. Addresses that
   * never sent a request are waited for at most `othersMs`, callers at most `callersMs`. A caller that exceeds this is
   * stalled, or died without being detected yet.
   */
  goodbye(callersMs: number, othersMs: number): Promise<void>;
}

interface LeaverParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly messenger: Messenger;
  readonly caller: Caller;
  readonly self: string;
}
const entry = 'busbar.leave';
const understood = 'understood';
/** An address that sent no request for an hour no longer counts as a caller, so `goodbye` does not wait long for it. */
const callerMs = 3_600_000;
const callersMax = 10_000;

export function createLeaver(parts: LeaverParts): Leaver {
  /**
   * Time of the last request from each caller, in the order of their first requests. Not every dead caller is reported,
   * so entries can be stale.
   */
  const callers = new Map<string, number>();
  const waiting = new Map<string, Deferred<void>>();

  function notify(address: string, code?: string): void {
    const line = printEnvelope({ kind: 'leave', entry, id: parts.self, from: parts.self, ...(code && { code }) });
    try {
      parts.messenger.send(address, { line, body: new Uint8Array(0) });
    } catch (error) {
      // an instance that has stopped sends nothing more, so nothing is lost
      if (!isBusError(error, 'Unreachable'))
        parts.notices.emit({ type: 'dropped', what: 'leave', reason: errorMessage(error) });
      settle(address);
    }
  }
  async function answered(which: (address: string) => boolean): Promise<void> {
    const some = [...waiting].filter(([address]) => which(address));
    await Promise.all(some.map(([, { promise }]) => promise));
  }
  function settle(address: string): void {
    callers.delete(address);
    waiting.get(address)?.resolve();
    waiting.delete(address);
  }
  return {
    recordCaller(address) {
      // Remove the caller whose entry was added first. If it sends another request, it is added again at the end.
      if (callers.size >= callersMax && !callers.has(address))
        for (const first of callers.keys()) if (callers.delete(first)) break;
      callers.set(address, parts.clock.mono());
    },
    leave({ code }, from) {
      if (code === understood) return settle(from);
      parts.caller.leaving(from);
      notify(from, understood);
    },
    gone: settle,
    async goodbye(callersMs, othersMs) {
      const { clock, messenger } = parts;
      const startMs = clock.mono();
      const notified = new Set<string>();
      function notifyOnce(address: string): void {
        if (notified.has(address)) return;
        notified.add(address);
        waiting.set(address, deferred());
        notify(address);
      }
      async function notifyAll(): Promise<void> {
        for (const [address, requestedMs] of callers) {
          if (startMs - requestedMs < callerMs) notifyOnce(address);
          else callers.delete(address);
        }
        for (const address of (await messenger.allAddresses?.()) ?? []) notifyOnce(address);
        await answered(() => true);
      }
      await within(clock, othersMs, notifyAll());
      await within(
        clock,
        callersMs - (clock.mono() - startMs),
        answered((address) => callers.has(address)),
      );
    },
  };
}
