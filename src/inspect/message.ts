/** Decodes records into views: the fields of the envelope, and the body. */
import { limits } from '../base/limits';
import type { Envelope } from '../format/envelope-fields';
import { parseEnvelope } from '../format/envelope-parser';
import { decodeValue } from '../format/json';
import type { Stored } from '../ports/log';
import type { MessageFilter, MessageView } from './types';

/** A record with the fields that are cheap to parse. The body is decoded only when the message is shown. */
export interface DecodedMessage {
  readonly topic: string;
  readonly record: Stored;
  readonly envelope: Envelope | undefined;
  readonly fault: string | null;
  readonly id: string;
  readonly entry: string;
  readonly key: string | null;
}

export function readEnvelopeAndBody(topic: string, record: Stored): DecodedMessage {
  const line = record.headers['bus'];
  const parsed = line === undefined ? { bad: 'there is none' } : parseEnvelope(line);
  const key = record.key && printKey(record.key);
  if ('bad' in parsed) {
    const id = `${topic}/${record.partition}/${record.offset}`;
    return { topic, record, envelope: undefined, fault: `envelope: ${parsed.bad}`, id, entry: '', key };
  }
  return { topic, record, envelope: parsed, fault: null, id: parsed.id, entry: parsed.entry, key };
}

export function viewOf({ topic, record, envelope, fault, id, entry, key }: DecodedMessage): MessageView {
  const { partition, offset, timeMs, value } = record;
  return {
    id,
    entry,
    kind: envelope?.kind ?? '',
    from: envelope?.from ?? '',
    key,
    topic,
    partition,
    offset,
    timeMs,
    sentMs: envelope?.sentMs ?? null,
    replay: envelope?.replay ?? 0,
    cause: envelope?.cause ?? null,
    traceparent: record.headers['traceparent'] ?? null,
    baggage: envelope?.baggage ?? {},
    bytes: value?.length ?? 0,
    body: decodeValue(value, limits.bodyDepthMost),
    fault,
  };
}

export function fits(decoded: DecodedMessage, filter: MessageFilter): boolean {
  const { key, entry, from, sinceMs, untilMs } = filter;
  if (key !== undefined && decoded.key !== key) return false;
  if (entry !== undefined && decoded.entry !== entry && !decoded.entry.endsWith(`.${entry}`)) return false;
  if (sinceMs !== undefined && decoded.record.timeMs < sinceMs) return false;
  if (untilMs !== undefined && decoded.record.timeMs > untilMs) return false;
  if (from === undefined) return true;
  const sender = decoded.envelope?.from ?? '';
  return sender === from || sender.startsWith(`${from}#`);
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function printKey(key: Uint8Array): string {
  try {
    return utf8.decode(key);
  } catch {
    return `0x${Buffer.from(key).toString('hex')}`;
  }
}
