import { isBusError, nearest } from '../../src/base/errors';
import {
  accept,
  options,
  readOptions,
  variableLayer,
  variableOf,
  type GivenTo,
  type Layer,
  type Option,
  type ValuesOf,
} from '../../src/base/options';

const declared = options({
  drainMs: { type: 'duration', default: 10_000, min: 0, max: 600_000, description: 'How long.', live: true },
  bodyBytesMax: { type: 'bytes', default: 65_536, min: 1024, max: 1024 ** 3, description: 'How large.' },
  workers: { type: 'integer', default: 8, min: 1, max: 100, description: 'How many.' },
  ns: { type: 'text', default: 'main', pattern: /^[a-z]+$/, description: 'A name | or two.' },
  dir: { type: 'text', description: 'Where.' },
  quiet: { type: 'flag', default: false, description: 'Whether.' },
  level: { type: 'choice', choices: ['low', 'high'], default: 'low', description: 'Which.' },
  brokers: { type: 'list', default: [], description: 'Whom.' },
  password: { type: 'secret', pattern: /^.{8,}$/, description: 'A secret.' },
});
const code = (values: Record<string, unknown>): Layer => ({ sourceOf: () => 'openBus', values });

function faultsOf(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (isBusError(error, 'Config')) return error.details.faults;
    throw error;
  }
  throw new Error('nothing was refused');
}

test('without layers every option has its default and the source default', () => {
  const { values, sources } = readOptions(declared, []);
  expect(values).toEqual({
    drainMs: 10_000,
    bodyBytesMax: 65_536,
    workers: 8,
    ns: 'main',
    dir: undefined,
    quiet: false,
    level: 'low',
    brokers: [],
    password: undefined,
  });
  expect(new Set(Object.values(sources))).toEqual(new Set(['default']));
});

test('a later layer wins, and each value has its source', () => {
  const file: Layer = { sourceOf: () => '/etc/bus.json', values: { workers: 2, level: 'high', ns: 'filed' } };
  const env = variableLayer(declared, { BUSBAR_WORKERS: '3', BUSBAR_LEVEL: 'low', HOME: '/root' });
  const { values, sources } = readOptions(declared, [file, env, code({ workers: 4 })]);
  expect(values).toMatchObject({ workers: 4, level: 'low', ns: 'filed' });
  expect(sources).toMatchObject({ workers: 'openBus', level: 'BUSBAR_LEVEL', ns: '/etc/bus.json', quiet: 'default' });
});

test('an undefined value and an empty variable count as absent', () => {
  const { values, sources } = readOptions(declared, [
    variableLayer(declared, { BUSBAR_NS: '' }),
    code({ ns: undefined, dir: undefined }),
  ]);
  expect(values.ns).toBe('main');
  expect(sources.ns).toBe('default');
});

test('one error lists all faults with option, value, source and bound', () => {
  const file: Layer = {
    sourceOf: () => '/app/config/default.json',
    values: { workers: 0, levl: 'high', drainMs: '11 minutes' },
    unknown: '; set BUSBAR_CONFIG',
  };
  const env = variableLayer(declared, { BUSBAR_DRAIN_MS: '15m', BUSBAR_WORKRES: '3', BUSBAR_FILE: 'x' }, [
    'BUSBAR_FILE',
  ]);
  expect(faultsOf(() => readOptions(declared, [file, env, code({ ns: 'A', quiet: 'yes', level: 'hihg' })]))).toEqual([
    'workers = 0 (/app/config/default.json) is below the minimum of 1',
    'levl (/app/config/default.json) is not an option; did you mean level?; set BUSBAR_CONFIG',
    `drainMs = "11 minutes" (/app/config/default.json) is not a duration such as 250, '250ms', '10s' or '5m'`,
    'BUSBAR_WORKRES (environment) is not an option; did you mean BUSBAR_WORKERS?',
    'drainMs = "15m" (BUSBAR_DRAIN_MS) is above the maximum of 10m',
    'ns = "A" (openBus) does not match ^[a-z]+$',
    'quiet = "yes" (openBus) is neither true nor false',
    'level = "hihg" (openBus) is not one of low, high; did you mean high?',
  ]);
});

test('the message lists at most thirty faults', () => {
  const read = (count: number) =>
    readOptions(declared, [code(Object.fromEntries(Array.from({ length: count }, (_, i) => [`zzzzzzz${i}`, 1])))]);
  expect(() => read(1)).toThrow('configuration: zzzzzzz0 (openBus) is not an option');
  expect(() => read(31)).toThrow(/^configuration: 31 faults:\n- zzzzzzz0 (.|\n)*\n- and 1 more$/);
  expect(faultsOf(() => read(31))).toHaveLength(31);
});

test('a secret is never printed, even when it is invalid or misspelled', () => {
  const faults = faultsOf(() => readOptions(declared, [code({ password: 'hunter2', pasword: 'hunter2!' })]));
  expect(faults).toEqual([
    'password = *** (openBus) does not match ^.{8,}$',
    'pasword (openBus) is not an option; did you mean password?',
  ]);
});

test('inherited property names are not options', () => {
  const values = JSON.parse('{"__proto__": 1, "constructor": 2, "toString": 3}') as Record<string, unknown>;
  expect(faultsOf(() => readOptions(declared, [code(values)]))).toHaveLength(3);
});

test('a layer can be restricted to some options', () => {
  const only = { workers: declared.workers };
  const layer = { ...code({ workers: 2, quiet: true }), only };
  expect(faultsOf(() => readOptions(declared, [layer]))).toEqual(['quiet (openBus) is not an option']);
});

test('values and sources are frozen, including lists', () => {
  const mine = ['a:1', 'b:2'];
  const read = readOptions(declared, [code({ brokers: mine })]);
  mine.push('c:3');
  expect(read.values.brokers).toEqual(['a:1', 'b:2']);
  for (const part of [read.values, read.sources, read.values.brokers]) expect(Object.isFrozen(part)).toBe(true);
});

const ms = declared.drainMs;
const kb = declared.bodyBytesMax;
const cases: readonly [string, Option, unknown, unknown][] = [
  ['a duration in ms', ms, 250, 250],
  ['a duration as digits', ms, '250', 250],
  ['a duration with its unit', ms, '250ms', 250],
  ['seconds', ms, '10s', 10_000],
  ['a fraction of a second', ms, '1.1s', 1_100],
  ['minutes', ms, '5m', 300_000],
  ['bytes', kb, 2048, 2048],
  ['kilobytes of 1,024', kb, '64KB', 65_536],
  ['megabytes', kb, '2 MB', 2 * 1024 ** 2],
  ['a whole number', declared.workers, '7', 7],
  ['a flag', declared.quiet, 'true', true],
  ['a list in one string', declared.brokers, 'a:1, b:2', ['a:1', 'b:2']],
  ['a secret', declared.password, 'long enough', 'long enough'],
];
test.each(cases)('accepts %s', (_name, option, raw, value) => expect(accept(option, raw)).toEqual({ value }));

const wrong: readonly [string, Option, unknown][] = [
  ['a fraction of a millisecond', ms, '0.5ms'],
  ['a month', ms, '1M'],
  ['a unit alone', ms, 's'],
  ['nothing', ms, ''],
  ['an exponent', ms, 1e21],
  ['not a number', declared.workers, Number.NaN],
  ['infinity', declared.workers, Infinity],
  ['a list of one number', declared.workers, [5]],
  ['null', declared.ns, null],
  ['a fraction of a worker', declared.workers, 1.5],
  ['a unit named like an inherited property', ms, '1constructor'],
  ['an empty item', declared.brokers, 'a,,b'],
  ['a list of numbers', declared.brokers, [1]],
];
test.each(wrong)('rejects %s', (_name, option, raw) => expect(accept(option, raw)).toHaveProperty('fault'));

test('a value that JSON cannot represent is named by its type', () => {
  expect(faultsOf(() => readOptions(declared, [code({ workers: 5n })]))[0]).toContain('workers = bigint (openBus)');
});

test('a default outside its bounds throws at its declaration', () => {
  expect(() => options({ n: { type: 'integer', default: 0, min: 1, max: 2, description: '' } })).toThrow(
    'default of n is below the minimum of 1',
  );
});

test('the variable of an option is its name in upper case', () => {
  expect(variableOf('messageBytesMax')).toBe('BUSBAR_MESSAGE_BYTES_MAX');
  expect(variableOf('ns')).toBe('BUSBAR_NS');
});

test('nearest finds the name with the fewest edits, or none when all are far', () => {
  expect(nearest('drainms', Object.keys(declared))).toBe('drainMs');
  expect(nearest('brokres', Object.keys(declared))).toBe('brokers');
  expect(nearest('drain', Object.keys(declared))).toBe('drainMs');
  expect(nearest('', Object.keys(declared))).toBeUndefined();
  expect(nearest('n', ['ns'])).toBe('ns');
  expect(nearest('sohw', ['show', 'drop'])).toBe('show');
  expect(nearest('frob', ['show', 'drop', 'help'])).toBeUndefined(); // half of its letters differ
  expect(nearest('colour', Object.keys(declared))).toBeUndefined();
  expect(nearest('x'.repeat(10_000), Object.keys(declared))).toBeUndefined();
});

test('values are typed by their declaration', () => {
  const { values } = readOptions(declared, []);
  const level: 'low' | 'high' = values.level;
  const dir: string | undefined = values.dir;
  const given: GivenTo<typeof declared> = { drainMs: '10s', workers: 3 };
  // @ts-expect-error a choice takes its own words only
  const bad: GivenTo<typeof declared> = { level: 'middle' };
  // @ts-expect-error values are read-only
  const write = (all: ValuesOf<typeof declared>) => (all.workers = 3);
  expect([level, dir, given.workers, bad.level, write]).toBeDefined();
});
