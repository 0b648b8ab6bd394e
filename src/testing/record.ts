/** Records what a test bus sends through its ports, so that a test can inspect it without a spy. */
import { limits } from '../base/limits';
import { decodeBody } from '../format/codec';
import { parseEnvelope } from '../format/envelope-parser';
import { parseTopic } from '../format/names';
import type { Append, Log } from '../ports/log';
import type { Packet, Messenger } from '../ports/messenger';
import type { Recorded, RecordedParked } from './types';

export interface Tape {
  readonly sent: Recorded[];
  readonly parked: RecordedParked[];
}

export function recordLog(log: Log, tape: Tape): Log {
  return {
    ...log,
    append(topic, records) {
      const parked = parseTopic(topic)?.kind === 'parked';
      for (const one of records) {
        if (parked) noteParked(tape, one);
        else noteSent(tape, one.headers['bus'] ?? '', one.value);
      }
      return log.append(topic, records);
    },
  };
}

export function recordMessenger(messenger: Messenger, tape: Tape): Messenger {
  const noteRequest = ({ line, body }: Packet): void => noteSent(tape, line, body);
  return {
    ...messenger,
    send(to, packet) {
      noteRequest(packet);
      messenger.send(to, packet);
    },
    broadcast(module, packet) {
      noteRequest(packet);
      return messenger.broadcast(module, packet);
    },
  };
}

const reported = new Set(['request', 'broadcast', 'work', 'event']);

function noteSent({ sent }: Tape, line: string, value: Uint8Array | null): void {
  const envelope = parseEnvelope(line);
  if ('bad' in envelope || !reported.has(envelope.kind)) return;
  const { entry, id, from, baggage = {} } = envelope;
  sent.push({ entry, id, from, baggage, body: bodyOf(value) });
}

function noteParked({ parked }: Tape, { headers, value }: Append): void {
  const line = headers['parked'];
  if (line === undefined) return;
  // The cast is safe: work/parked wrote the header just before.
  const { entry, id, reason, attempts } = JSON.parse(line) as {
    entry: string;
    id: string;
    reason: string;
    attempts: unknown[];
  };
  parked.push({ entry, id, reason, attempts: attempts.length, body: bodyOf(value) });
}

function bodyOf(value: Uint8Array | null): unknown {
  const decoded = decodeBody(value ?? new Uint8Array(0), limits.bodyDepthMost);
  return decoded.ok ? decoded.value : value;
}
