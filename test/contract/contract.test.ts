import { z } from 'zod';
import { isBusError } from '../../src/base/errors';
import {
  broadcast,
  defineModule,
  entriesOf,
  event,
  moduleOf,
  optionsOf,
  request,
  unchecked,
  work,
} from '../../src/contract/contract';
import { CONTRACT, type SomeEntry } from '../../src/contract/types';

const Photo = z.object({ id: z.string() });
const photos = defineModule('photos', {
  add: request(Photo, z.number(), { failures: { TooBig: z.object({}) }, timeoutMs: 3_000, idempotent: true }),
  resize: work(Photo, { key: (photo) => photo.id, attempts: 2, retry: 'aside', queue: 'slow' }),
  dropCache: broadcast(Photo),
  added: event(Photo, { key: (photo) => photo.id }),
});

/** Calls as untyped JavaScript can make them. */
const define = (name: string, entries: Record<string, unknown>) =>
  defineModule(name, entries as Record<string, SomeEntry>);
function faultsOf(make: () => unknown): readonly string[] {
  try {
    make();
  } catch (error) {
    if (isBusError(error, 'Config')) return error.details.faults;
    throw error;
  }
  throw new Error('nothing was refused');
}

test('each entry has its kind, its full name and its schemas', () => {
  expect([...entriesOf(photos)].map(([short, { kind, name }]) => [short, kind, name])).toEqual([
    ['add', 'request', 'photos.add'],
    ['resize', 'work', 'photos.resize'],
    ['dropCache', 'broadcast', 'photos.dropCache'],
    ['added', 'event', 'photos.added'],
  ]);
  expect(photos.add.schemas.input).toBe(Photo);
  expect(Object.keys(photos.add.schemas)).toEqual(['input', 'output', 'failures']);
  expect(Object.keys(photos.resize.schemas)).toEqual(['input']);
});

test('a contract has its name, and an entry the name of its module', () => {
  expect(photos[CONTRACT]).toBe('photos');
  expect(moduleOf(photos.resize)).toBe('photos');
});

test('options are kept as declared, without failures, which are schemas', () => {
  expect(optionsOf(photos.add)).toEqual({ timeoutMs: 3_000, idempotent: true });
  expect(optionsOf(photos.resize)).toMatchObject({ attempts: 2, retry: 'aside', queue: 'slow' });
  expect(optionsOf(photos.dropCache)).toEqual({});
});

test('contract, entries and options are frozen', () => {
  for (const part of [photos, photos.add, photos.add.options]) expect(Object.isFrozen(part)).toBe(true);
});

test('an entry object can be used in two contracts, under the name of each', () => {
  const shared = work(Photo);
  const [a, b] = [defineModule('a', { one: shared }), defineModule('b', { two: shared })];
  expect([a.one.name, b.two.name]).toEqual(['a.one', 'b.two']);
});

test('a contract is not a thenable, so a promise resolves with it', async () => {
  expect(await Promise.resolve(photos)).toBe(photos);
});

test.each(['', 'Photos', '9photos', 'photos.all', 'photos all', 'p'.repeat(64), '../photos', 'фото'])(
  'rejects the module name %j',
  (name) => {
    expect(faultsOf(() => define(name, {}))[0]).toContain(`module name '${name}' does not match`);
  },
);

test.each(['then', 'constructor', 'open', 'close', 'drop-cache', 'DropCache', 'a.b', '', '__proto__x'])(
  'rejects the entry name %j',
  (name) => {
    expect(faultsOf(() => define('photos', { [name]: work(Photo) }))).toEqual([
      `'${name}' cannot name an entry of photos`,
    ]);
  },
);

test('rejects an entry named __proto__ in a parsed object', () => {
  const entries: Record<string, unknown> = Object.defineProperty({}, '__proto__', {
    value: work(Photo),
    enumerable: true,
  });
  expect(faultsOf(() => define('photos', entries))).toEqual(["'__proto__' cannot name an entry of photos"]);
});

test.each(['', 'x'.repeat(201), 'a\nb', 'half \ud800', 'turned \u202e around'])(
  'rejects the failure name %j',
  (failure) => {
    const ask = request(Photo, Photo, { failures: { [failure]: Photo, 'Zu groß': Photo } });
    expect(faultsOf(() => define('photos', { ask }))).toEqual([
      `${JSON.stringify(failure)} cannot name a failure of photos.ask`,
    ]);
  },
);

test('one error lists all faults of a contract', () => {
  const entries = { close: work(Photo), Two: work(Photo), fine: work(Photo) };
  expect(faultsOf(() => define('My Photos', entries))).toHaveLength(3);
});

test('unchecked returns any value unchanged', () => {
  const value = { any: ['thing'] };
  expect(unchecked<object>()['~standard'].validate(value)).toEqual({ value });
});
