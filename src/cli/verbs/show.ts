/** Implements `busbar show`, which prints a message with its envelope, its body and its state in each queue. */
import type { FoundView, MessageView, ParkedView, PlaceView, StubView } from '../../inspect';
import { exits, Usage, type Exit } from '../exit';
import { toJson } from '../json';
import type { Output } from '../output';
import type { Desk } from '../run';
import { wrap } from '../table';
import { age, count, lines, none, oneLine, size, time } from '../words';
import { plainMessage } from './body';

export async function show({ inspector, out, nowMs }: Desk, id: string, { body }: { body: boolean }): Promise<Exit> {
  const found = await inspector.show(id);
  const ids = [...new Set(found.map(({ message }) => message.id))];
  const exact = found.filter(({ message }) => message.id === id);
  if (ids.length > 1 && exact.length === 0) throw ambiguous(id, ids);
  const chosen = exact.length > 0 ? exact : found;
  if (chosen.length === 0) {
    out.note(`no log has a message whose id begins with ${id}; requests and broadcasts are not stored`);
    return exits.warning;
  }
  if (out.form === 'json' || out.form === 'jsonl') {
    const plain = plainMessage({ bytes: out.bytes, shown: body });
    const records = chosen.map(({ message, places }) => ({ message: plain(message), places: places.map(withoutBody) }));
    await out.list({ columns: [], json: (record) => record }, records);
  } else for (const record of chosen) report(out, record, nowMs(), body);
  return exits.done;
}

const listedMax = 10;

function ambiguous(id: string, ids: readonly string[]): Usage {
  const more = ids.length > listedMax ? `\n  and more` : '';
  const list = ids.slice(0, listedMax).map((one) => `\n  busbar show ${oneLine(one)}`);
  return new Usage(`several messages begin with ${oneLine(id)}:${list.join('')}${more}`);
}

/** Removes the body of the parked copy, because it equals the body of the message. */
function withoutBody({ parked, ...place }: PlaceView): unknown {
  if (!parked) return { ...place, parked };
  const { body: _body, ...rest } = parked;
  return { ...place, parked: rest };
}

function report(out: Output, { message, places }: FoundView, nowMs: number, withBody: boolean): void {
  out.line(oneLine(`${message.entry || 'a message'}  ${message.id}`));
  for (const [name, value] of facts(message, nowMs)) field(out, name, value);
  if (places.length === 0) field(out, 'queues', 'no instance consumes it');
  for (const place of places) {
    field(out, place.queue, placeText(place, nowMs));
    if (place.parked) reportAttempts(out, place.parked);
    if (place.parked?.stub) reportStub(out, place.parked.stub);
  }
  if (withBody) reportBody(out, message);
  for (const { queue, state, parked } of places) {
    if (state !== 'parked') continue;
    if (parked?.stub && parked.topic === message.topic) {
      out.note(
        `it cannot be replayed: ${parked.origin} no longer has the whole message. Have its sender send it again`,
      );
      continue;
    }
    out.note('to send it again:');
    out.next(`busbar replay ${queue} ${message.id}`);
  }
}

function facts(message: MessageView, nowMs: number): readonly (readonly [string, string])[] {
  const {
    kind,
    from,
    key,
    sentMs,
    timeMs,
    topic,
    partition,
    offset,
    bytes,
    replay,
    cause,
    traceparent,
    baggage,
    fault,
  } = message;
  const sent = sentMs ?? timeMs;
  return [
    ['kind', kind || none],
    ['sent', `${time(sent)}, ${age(nowMs - sent)} ago, by ${from || 'an unknown sender'}`],
    ['key', key ?? none],
    ['stored in', `${topic}/${partition} at ${offset}`],
    ['size', size(bytes)],
    ...(replay > 0 ? [['replayed', `${times(replay)} before`] as const] : []),
    ...(cause === null ? [] : [['cause', `busbar show ${cause}`] as const]),
    ...(traceparent === null ? [] : [['trace', traceparent] as const]),
    ...(Object.keys(baggage).length === 0 ? [] : [['baggage', toJson(baggage)] as const]),
    ...(fault === null ? [] : [['fault', fault] as const]),
  ];
}

const nameChars = 12;

function field(out: Output, name: string, value: string): void {
  const start = `  ${oneLine(name).padEnd(nameChars)}  `;
  wrap(value, out.width - start.length).forEach((line, i) =>
    out.line((i === 0 ? start : ' '.repeat(start.length)) + line),
  );
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function placeText({ state, attempts, on, parked, unserved, repaired }: PlaceView, nowMs: number): string {
  const tried = attempts > 0 ? `, tried ${times(attempts)}` : '';
  switch (state) {
    case 'running':
      return `runs on ${on ?? '?'}${tried}`;
    case 'parked': {
      const { parkedAtMs = nowMs, instance = '', version = '', reason = '' } = parked ?? {};
      const by = version === '' ? instance : `${instance} (${version})`;
      return `parked ${age(nowMs - parkedAtMs)} ago by ${by}${tried}: ${reason}`;
    }
    case 'settled':
      // The log does not record the outcome of a settled message. Usually its handler succeeded.
      return repaired ? `parked, then ${repaired.how} ${age(nowMs - repaired.atMs)} ago by ${repaired.by}` : 'settled';
    case 'in backoff':
      return `waits to be retried${tried}`;
    case 'waiting':
      return unserved ? 'waits: no instance that consumes the queue knows its entry' : 'waits';
  }
}

/**
 * Maximum stack frames shown for an attempt. The first ones are where the error was thrown; the JSON output has all.
 */
const framesShown = 4;

function reportAttempts(out: Output, { attempts }: ParkedView): void {
  for (const { attempt, atMs, error, stack, instance } of attempts) {
    field(out, `  try ${attempt}`, `${time(atMs)} on ${instance}: ${error}`);
    for (const line of lines(stack ?? '').slice(1, 1 + framesShown))
      out.line(`${' '.repeat(nameChars + 4)}  ${line.trim()}`);
  }
}

const firstCharsShown = 200;

function reportStub(out: Output, { bytes, sha256, refusal, first }: StubView): void {
  field(out, '  stub', `of ${size(bytes)} (${count(bytes)} bytes), which could not be parked whole: ${refusal}`);
  field(out, '  sha256', sha256);
  field(out, '  begins', oneLine(Buffer.from(first).toString().slice(0, firstCharsShown)) || none);
}

function reportBody(out: Output, { body, bytes }: MessageView): void {
  if (!body.ok) return field(out, 'body', `${size(bytes)} that cannot be decoded: ${body.reason}`);
  if (body.value === undefined) return field(out, 'body', none);
  out.line('  body');
  // JSON escapes control characters, but not characters that reverse the writing direction.
  for (const line of toJson(body.value, out.bytes, 2).split('\n')) out.line(`    ${oneLine(line)}`);
}
