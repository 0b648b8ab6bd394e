/** Implements `busbar tail`, which prints work and events as they are sent, until it is stopped. */
import type { MessageView } from '../../inspect';
import { exits, type Exit } from '../exit';
import type { Listing } from '../output';
import type { Desk } from '../run';
import { matching } from '../where';
import { cutTo } from '../table';
import { none, oneLine, size, time } from '../words';
import { bodyText, plainMessage, type Bodies } from './body';
import { filterOf } from './filter';
import type { PeekOptions } from './peek';

export async function tail(
  { inspector, out, signal, nowMs }: Desk,
  names: readonly string[],
  options: PeekOptions,
): Promise<Exit> {
  const { most = Infinity, ...filter } = filterOf(options, nowMs());
  const bodies: Bodies = { bytes: out.bytes, shown: options.body };
  const enough = new AbortController();
  const ended = AbortSignal.any([signal, enough.signal]);
  const missed = (what: string): void => out.note(what);
  if (out.forPeople) out.note('work and events as they arrive; ^C ends it');
  const all = inspector.tail(names, { ...filter, signal: ended, missed });
  const wanted = matching(all, options.where, (text) => out.note(text));
  const messages = upTo(wanted, most, () => enough.abort());
  // A table is printed only after its last row, so it cannot show live messages.
  if (out.forPeople) for await (const message of messages) out.line(cutTo(textOf(message, bodies), out.width));
  else await out.list(listing(bodies), messages);
  return signal.aborted ? exits.interrupted : exits.done;
}

async function* upTo<T>(things: AsyncIterable<T>, most: number, enough: () => void): AsyncGenerator<T> {
  let count = 0;
  for await (const one of things) {
    yield one;
    if (++count >= most) return enough();
  }
}

function textOf(message: MessageView, bodies: Bodies): string {
  const { id, entry, key, from, bytes, timeMs, fault } = message;
  const body = fault === null ? bodyText(message, bodies) : fault;
  const words = [time(timeMs).slice(11), entry || none, id, key ?? none, from || none, size(bytes)];
  return oneLine([...words, ...(bodies.shown ? [body] : [])].join('  '));
}

function listing(bodies: Bodies): Listing<MessageView> {
  const columns = [
    { name: 'TIME', show: ({ timeMs }: MessageView) => new Date(timeMs).toISOString() },
    { name: 'ENTRY', show: ({ entry }: MessageView) => entry },
    { name: 'ID', show: ({ id }: MessageView) => id },
    { name: 'KEY', show: ({ key }: MessageView) => key ?? none },
    { name: 'FROM', show: ({ from }: MessageView) => from },
    { name: 'SIZE', show: ({ bytes }: MessageView) => String(bytes) },
  ];
  const body = { name: 'BODY', show: (one: MessageView) => bodyText(one, bodies) };
  return { columns: bodies.shown ? [...columns, body] : columns, json: plainMessage(bodies) };
}
