/** Implements `busbar settings`, `set` and `unset`, which change settings while instances are running. */
import type { Setting } from '../../inspect';
import { BusError, nearest } from '../../base/errors';
import { checkSetting } from '../../config';
import { entryOptionsOf } from '../../options';
import { exits, Usage, type Exit } from '../exit';
import type { Column } from '../output';
import type { Desk } from '../run';
import { none } from '../words';

export interface SetOptions {
  /** The expected version, as typed. */
  readonly was?: string;
  readonly unchecked?: boolean;
}

interface SettingView extends Setting {
  /** The reason why no bus applies the setting; null when it is valid. */
  readonly refused: string | null;
}
const columns: readonly Column<SettingView>[] = [
  { name: 'KEY', show: ({ key }) => key },
  { name: 'VALUE', show: ({ value }) => value },
  { name: 'VERSION', right: true, show: ({ version }) => String(version) },
  { name: 'REFUSED', show: ({ refused }) => refused ?? none },
];

export async function list({ settings, out }: Desk, name: string | undefined): Promise<Exit> {
  const isMeant = ({ key }: Setting): boolean => name === undefined || key === name || key.startsWith(`${name}.`);
  const all = (await settings.all()).filter(isMeant).map(viewOf).toSorted(byKey);
  const shown = columns.filter((column) => column.name !== 'REFUSED' || all.some(({ refused }) => refused !== null));
  await out.list({ columns: shown }, all);
  if (all.length > 0) return exits.done;
  out.note(name === undefined ? 'nothing is set: configuration and code apply' : `nothing is set of ${name}`);
  return name === undefined ? exits.done : exits.warning;
}

export async function set(desk: Desk, key: string, value: string, options: SetOptions): Promise<Exit> {
  await check(desk, key, value, options);
  const before = await desk.settings.get(key);
  const version = await desk.settings.set(key, value, versionOf(options) ?? before?.version ?? 0);
  await report(desk, { key, value, version, before: before?.value ?? null });
  return exits.done;
}

export async function unset(desk: Desk, key: string, options: SetOptions): Promise<Exit> {
  const before = await desk.settings.get(key);
  if (!before) throw await notSet(desk, key);
  await desk.settings.set(key, null, versionOf(options) ?? before.version);
  await report(desk, { key, value: null, version: null, before: before.value });
  return exits.done;
}

interface Change {
  readonly key: string;
  /** The new value; null when the setting was removed. `before` is null when the key was not set. */
  readonly value: string | null;
  readonly before: string | null;
  /** The new version; null when the setting was removed. */
  readonly version: number | null;
}
async function report({ out }: Desk, change: Change): Promise<void> {
  const of: readonly Column<Change>[] = [
    { name: 'KEY', show: ({ key }) => key },
    { name: 'VALUE', show: ({ value }) => value ?? none },
    { name: 'BEFORE', show: ({ before }) => before ?? none },
    { name: 'VERSION', right: true, show: ({ version }) => (version === null ? none : String(version)) },
  ];
  await out.list({ columns: of }, [change]);
}

function viewOf(setting: Setting): SettingView {
  const meant = checkSetting(setting.key, setting.value);
  return { ...setting, refused: typeof meant === 'string' ? meant : null };
}
const byKey = (one: Setting, other: Setting): number => (one.key < other.key ? -1 : 1);

function versionOf({ was }: SetOptions): number | undefined {
  if (was === undefined) return undefined;
  if (!/^\d{1,15}$/.test(was)) throw new Usage(`--was ${was} is not a version, a whole number from 0`);
  return Number(was);
}

/** Throws when no bus would apply the setting, or when no live instance knows the entry or listener. */
async function check(desk: Desk, key: string, value: string, { unchecked }: SetOptions): Promise<void> {
  const meant = checkSetting(key, value);
  if (typeof meant === 'string') {
    const about = meant.startsWith(`${key} `) ? '' : `${key}: `;
    throw new Usage(`nothing was set: ${about}${meant}`);
  }
  if (meant.scope === '' || unchecked) return;
  const kind = await kindOf(desk, meant.scope);
  const options: readonly string[] = entryOptionsOf[kind];
  if (options.includes(meant.name)) return;
  const near = nearest(meant.name, options);
  const has = options.length > 0 ? `; its settings are ${options.join(', ')}` : ', which has no settings';
  const hint = near === undefined ? '' : `, the nearest is ${near}`;
  throw new Usage(`nothing was set: ${meant.scope} is ${describeKind[kind]}${has}${hint}`);
}
type Kind = keyof typeof entryOptionsOf;
const describeKind: Readonly<Record<Kind, string>> = {
  request: 'a request',
  work: 'a work entry',
  listener: 'a named listener',
  broadcast: 'a broadcast',
  event: 'an event',
};

async function kindOf({ parts }: Desk, scope: string): Promise<Kind> {
  const { askCheck, findQueues, nearNames, UnknownName } = await import('../../inspect');
  const [module = ''] = scope.split('.');
  // Every instance serves `busbar` to operators. A setting on it could lock the operators out.
  if (module === 'busbar') throw new UnknownName('entry or named listener', scope, []);
  const queues = await findQueues(parts.log, parts.ns);
  if (queues.get(scope)?.kind === 'listener') return 'listener';
  const known = await askCheck(parts, scope, undefined);
  if (known.known) return known.kind;
  const listeners = [...queues.values()].flatMap(({ kind, queue }) => (kind === 'listener' ? queue : []));
  if (known.instances > 0) {
    throw new UnknownName('entry or named listener', scope, nearNames(scope, [...known.entries, ...listeners]));
  }
  const message = `${scope}: no instance of ${module} is running to check it; --unchecked sets it anyway`;
  throw new BusError('NoHandler', message, { module, entry: scope });
}

async function notSet({ settings }: Desk, key: string): Promise<Error> {
  const { nearNames, UnknownName } = await import('../../inspect');
  const keys = (await settings.all()).map((one) => one.key);
  return new UnknownName('setting', key, nearNames(key, keys), '; `busbar settings` lists all');
}
