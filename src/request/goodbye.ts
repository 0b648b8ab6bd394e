/** Says goodbye to callers so that none of their requests is on its way when this instance goes. */
import { within, type Clock } from '../base/clock';
import { sayError } from '../base/errors';
import { deferred, type Deferred } from '../base/lifecycle';
import type { Notices } from '../base/notices';
import { printEnvelope, type Envelope } from '../format/envelope';
import type { Post } from '../ports/messenger';
import type { Caller } from './caller';

export interface Leaver {
  /** A request came from this address. */
  heardFrom(address: string): void;
  /** Somebody leaves, or understood that we do. */
  leave(envelope: Envelope, from: string): void;
  gone(address: string): void;
  /**
   * Tells all callers, and those who may become one, and resolves when each understood or died. Packets keep their
   * order, so whatever they sent before they understood is here then. Whoever never asked anything is not waited for
   * any longer after `othersMs`, nor a caller after `callersMs`: it stands still, or died and nobody knows it yet.
   */
  goodbye(callersMs: number, othersMs: number): Promise<void>;
}

interface LeaverParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly post: Post;
  readonly caller: Caller;
  readonly self: string;
}
const entry = 'busbar.leave';
const understood = 'understood';
/** Whoever was silent for so long is no caller any more. */
const callerMs = 3_600_000;
const callersMax = 10_000;

export function createLeaver(parts: LeaverParts): Leaver {
  /** When each was last heard; of those who died not all are told. */
  const callers = new Map<string, number>();
  const waiting = new Map<string, Deferred<void>>();

  function tell(address: string, code?: string): void {
    const line = printEnvelope({ kind: 'leave', entry, id: parts.self, from: parts.self, ...(code && { code }) });
    try {
      parts.post.send(address, { line, body: new Uint8Array(0) });
    } catch (error) {
      parts.notices.tell({ type: 'dropped', what: 'leave', reason: sayError(error) });
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
    heardFrom(address) {
      // The first of all; if it goes on asking it is the last one next.
      if (callers.size >= callersMax && !callers.has(address))
        for (const first of callers.keys()) if (callers.delete(first)) break;
      callers.set(address, parts.clock.mono());
    },
    leave({ code }, from) {
      if (code === understood) return settle(from);
      parts.caller.leaving(from);
      tell(from, understood);
    },
    gone: settle,
    async goodbye(callersMs, othersMs) {
      const { clock, post } = parts;
      const startMs = clock.mono();
      const told = new Set<string>();
      function tellOnce(address: string): void {
        if (told.has(address)) return;
        told.add(address);
        waiting.set(address, deferred());
        tell(address);
      }
      async function tellAll(): Promise<void> {
        for (const [address, heardMs] of callers) {
          if (startMs - heardMs < callerMs) tellOnce(address);
          else callers.delete(address);
        }
        for (const address of (await post.everybody?.()) ?? []) tellOnce(address);
        await answered(() => true);
      }
      await within(clock, othersMs, tellAll());
      await within(
        clock,
        callersMs - (clock.mono() - startMs),
        answered((address) => callers.has(address)),
      );
    },
  };
}
