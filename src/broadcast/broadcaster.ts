/** Sends a broadcast to every running instance of a module. */
import type { Clock } from '../base/clock';
import type { Notices } from '../base/notices';
import { check } from '../contract/check';
import { moduleOf } from '../contract/contract';
import type { AnyEntry } from '../contract/types';
import { currentScope, inherited, type Scopes } from '../delivery/context';
import { encodeBody } from '../format/codec';
import { printEnvelope } from '../format/envelope-printer';
import type { Messenger } from '../ports/messenger';

interface BroadcasterParts {
  readonly clock: Clock;
  readonly notices: Notices;
  readonly scopes: Scopes;
  readonly messenger: Messenger;
  readonly self: string;
  readonly incarnation: string;
  readonly nextPosition: () => number;
  readonly makeId: () => string;
  readonly messageBytesMax: number;
  /** Maximum nesting depth of a body. Default: limits.bodyDepthMax. */
  readonly bodyDepthMax?: number | undefined;
}
export interface Broadcaster {
  broadcast(entry: AnyEntry, input: unknown): Promise<{ readonly id: string }>;
}

export function createBroadcaster(parts: BroadcasterParts): Broadcaster {
  return {
    async broadcast(entry, input) {
      const scope = currentScope(parts.scopes);
      const checked = check(entry.schemas.input, input, 'input', entry.name);
      if (checked instanceof Promise) await checked;
      const body = encodeBody(input, parts.messageBytesMax, 'input', entry.name, parts.bodyDepthMax);
      const id = parts.makeId();
      const line = printEnvelope({
        kind: 'broadcast',
        entry: entry.name,
        id,
        from: parts.self,
        stamp: { incarnation: parts.incarnation, position: parts.nextPosition() },
        sentMs: parts.clock.now(),
        ...(scope && inherited(scope)),
      });
      await parts.messenger.broadcast(moduleOf(entry), { line, body });
      if (parts.notices.watched) parts.notices.emit({ type: 'sent', kind: 'broadcast', entry: entry.name, id });
      return { id };
    },
  };
}
