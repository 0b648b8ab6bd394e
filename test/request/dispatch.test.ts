/** Choice of the instance to which a request is sent, and of the next one when it cannot be sent or is refused. */
import { BusError, type BusCode } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import type { Envelope } from '../../src/format/envelope-fields';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { seededRandom, virtualClock } from '../../src/memory';
import type { Messenger } from '../../src/ports/messenger';
import { createDispatcher } from '../../src/request/dispatch';
import type { AskOptions } from '../../src/request/open-call';
import { openCall, targetOf } from '../support/open-calls';

/** A dispatcher for the named instances. Sending to one of `failing` throws its error. */
function system(names: readonly string[], failing: Readonly<Record<string, Error>> = {}) {
  const clock = virtualClock();
  const [sent, ends, watched]: [string[], unknown[], string[]] = [[], [], []];
  const envelopes: Envelope[] = [];
  const targets = names.map(targetOf);
  const messenger: Pick<Messenger, 'send' | 'skewMs'> = {
    skewMs: 7,
    send(to, { line }) {
      const name = to.slice(3);
      const error = failing[name];
      if (error) throw error;
      const envelope = parseEnvelope(line);
      if ('bad' in envelope) throw new Error(envelope.bad);
      envelopes.push(envelope);
      sent.push(name);
    },
  };
  let appeared: (() => void) | undefined;
  let position = 0;
  const dispatcher = createDispatcher({
    clock,
    random: seededRandom(1),
    notices: openNotices(),
    messenger: messenger as Messenger, // the dispatcher uses only these members
    peers: {
      of: () => targets,
      appears: () => new Promise((resolve) => (appeared = resolve)),
      release: () => {},
      at: () => undefined,
      known: () => [],
      close: async () => {},
    },
    self: 'web#1',
    incarnation: '0123456789abcdef',
    nextPosition: () => ++position,
    prober: { watch: ({ instance }) => void watched.push(instance.name), stop() {} },
    settle: (call, error) => {
      call.settled = true;
      ends.push(error);
    },
  });
  const begin = (options: AskOptions = {}) => {
    const { call } = openCall(clock, { options });
    dispatcher.send(call);
    return call;
  };
  const appear = async (name: string): Promise<void> => {
    targets.push(targetOf(name));
    appeared?.();
    await clock.advance(1);
  };
  return { clock, dispatcher, begin, appear, sent, ends, watched, envelopes };
}
const dead = new BusError('Unreachable', 'it is dead', { outcome: 'not-sent', waitedMs: 0 });
const code = (error: BusCode) => expect.objectContaining({ code: error });

test('a request is sent to one instance, which is probed from then on', () => {
  const { begin, sent, watched, envelopes, clock } = system(['a']);
  const call = begin();
  expect(sent).toEqual(['a']);
  expect(watched).toEqual(['a']);
  expect(call).toMatchObject({ reached: 'sent', target: { instance: { name: 'a' } } });
  expect(envelopes).toMatchObject([
    { kind: 'request', id: 'id1', from: 'web#1', stamp: { position: 1 }, deadlineMs: clock.now() + 1_000 + 7 },
  ]);
});

test('a request goes to the named instance, or ends with NoHandler', () => {
  const { begin, sent, ends } = system(['a', 'b', 'c']);
  begin({ to: 'c' });
  begin({ to: 'd' });
  expect(sent).toEqual(['c']);
  expect(ends).toEqual([code('NoHandler')]);
});

test('requests of one key are sent to one instance', () => {
  const { begin, sent } = system(['a', 'b', 'c']);
  for (let n = 0; n < 10; n++) begin({ key: 'alps' });
  expect(new Set(sent).size).toBe(1);
});

test('an unreachable instance is skipped, and its error is the end when no other one is left', () => {
  const some = system(['a', 'b', 'c'], { a: dead, c: dead });
  some.begin();
  expect(some.sent).toEqual(['b']);
  const none = system(['a'], { a: dead });
  none.begin();
  expect(none.ends).toEqual([dead]);
});

test('a request that cannot be sent at all is not tried elsewhere', () => {
  const error = new TypeError('a defect');
  const { begin, sent, ends } = system(['a', 'b'], { a: error, b: error });
  begin();
  expect(ends).toEqual([error]);
  expect(sent).toEqual([]);
});

test('a refused request is sent to another instance with a new stamp', () => {
  const { dispatcher, begin, sent, envelopes } = system(['a', 'b']);
  const call = begin({ key: 'alps' });
  const [first] = sent;
  dispatcher.refuse(call, `at ${first}`, dead);
  expect(new Set(sent)).toEqual(new Set(['a', 'b']));
  expect(envelopes.map(({ stamp }) => stamp?.position)).toEqual([1, 2]);
});

test('the error that reports an uncertain outcome stays when later instances refuse', () => {
  const { dispatcher, begin, ends } = system(['a', 'b']);
  const call = begin();
  const lost = new BusError('ResponderLost', 'it died', { instance: 'a' });
  dispatcher.refuse(call, call.target?.instance.address ?? '', lost);
  dispatcher.refuse(call, call.target?.instance.address ?? '', dead);
  expect(ends).toEqual([lost]);
  expect(call.mayBeDone).toBe(true);
});

test('a request waits for a first instance, and is sent when one appears', async () => {
  const { begin, appear, sent, ends } = system([]);
  begin({ waitForInstanceMs: 500 });
  expect(ends).toEqual([]);
  await appear('a');
  expect(sent).toEqual(['a']);
  const none = system([]);
  none.begin();
  expect(none.ends).toEqual([code('NoHandler')]);
});

test('a call that has settled is not sent', () => {
  const { clock, dispatcher, sent } = system(['a']);
  const { call } = openCall(clock);
  call.settled = true;
  dispatcher.send(call);
  expect(sent).toEqual([]);
});
