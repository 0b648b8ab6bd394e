/** Routes each incoming packet to the part that handles its kind. */
import type { Notices } from '../base/notices';
import type { BroadcastReceiver } from '../broadcast/receiver';
import type { Envelope } from '../format/envelope-fields';
import { parseEnvelope } from '../format/envelope-parser';
import type { Packet, Messenger } from '../ports/messenger';
import type { Answerer } from '../request/answerer';
import type { Caller } from '../request/caller';
import type { Leaver } from '../request/goodbye';

/** Parts that handle packets. */
export interface Inbox {
  readonly answerer: Answerer;
  readonly caller: Caller;
  readonly receiver: BroadcastReceiver;
  readonly leaver: Leaver;
}

/** Starts receiving. Unreadable packets and packets of other kinds are dropped with a notice. */
export function receiveAll(messenger: Messenger, inbox: Inbox, notices: Notices): void {
  const { answerer, caller, receiver, leaver } = inbox;
  function packet({ line, body }: Packet, from: string): void {
    const envelope = parseEnvelope(line);
    if ('bad' in envelope) return notices.emit({ type: 'dropped', what: 'packet', reason: envelope.bad });
    switch (envelope.kind) {
      case 'request':
        leaver.recordCaller(from);
        return answerer.request(inOurTime(envelope, messenger.skewMaxMs ?? messenger.skewMs), body, from);
      case 'reply':
        return caller.reply(envelope, body, from);
      case 'cancel':
        return answerer.cancel(envelope, body);
      case 'probe':
        return answerer.probe(envelope, from);
      case 'leave':
        return leaver.leave(envelope, from);
      case 'broadcast':
        return receiver.receive(envelope, body);
      case 'work':
      case 'event': {
        const { kind, entry, id } = envelope;
        return notices.emit({
          type: 'dropped',
          what: kind,
          reason: 'work and events are read from a log, not from an inbox',
          entry,
          id,
        });
      }
    }
  }
  messenger.receive({
    packet,
    left(address) {
      leaver.gone(address);
      answerer.gone(address);
      caller.gone(address);
    },
  });
}

/** Returns the envelope with its deadline converted to this machine's clock. */
function inOurTime(envelope: Envelope, skewMs: number | undefined): Envelope {
  const { deadlineMs } = envelope;
  return skewMs === undefined || deadlineMs === undefined ? envelope : { ...envelope, deadlineMs: deadlineMs - skewMs };
}
