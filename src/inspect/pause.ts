/** Pauses a queue, an entry or a named listener by a setting that its instances obey, and resumes it. */
import { askCheck } from './check';
import { findQueues, nearNames, unknownQueue } from './names';
import type { Settings } from '../ports/settings';
import { UnknownName, type InspectorParts } from './types';

/** The settings of a name that pause it. */
export interface PauseSettings {
  /** A queue, an entry or a named listener. */
  readonly name: string;
  /** The settings that exist, by key, with their values and versions. */
  readonly found: readonly { readonly key: string; readonly value: string; readonly version: number }[];
}

/** Returns the settings that pause a name. Throws UnknownName if it is no queue, entry or named listener. */
export async function findPause(parts: InspectorParts, settings: Settings, name: string): Promise<PauseSettings> {
  const all = await settings.all();
  const keys = [`${name}.paused`, `${name}.pausedUntil`];
  const found = all.filter(({ key }) => keys.includes(key));
  if (found.length === 0) await mustExist(parts, name);
  return { name, found };
}

async function mustExist(parts: InspectorParts, name: string): Promise<void> {
  const queues = await findQueues(parts.log, parts.ns);
  if (queues.has(name)) return;
  if (!name.includes('.')) throw unknownQueue(name, [...queues.keys()]);
  const answer = await askCheck(parts, name, undefined);
  if (answer.known && ['work', 'request'].includes(answer.kind)) return;
  if (answer.known) {
    throw new UnknownName('queue', name, [], `: it is an entry of the kind ${answer.kind}, which cannot be paused`);
  }
  throw new UnknownName('queue or entry', name, nearNames(name, [...queues.keys(), ...answer.entries]));
}

/**
 * Pauses a name until it is resumed, or until `untilMs`, in ms since 1970. Running handlers continue. Resolves when the
 * setting is stored; instances obey it within a second. Rejects with Conflict if another operator changed the settings
 * since they were read.
 */
export async function pause(settings: Settings, { name, found }: PauseSettings, untilMs: number | null): Promise<void> {
  const [key, other] = untilMs === null ? ['paused', 'pausedUntil'] : ['pausedUntil', 'paused'];
  const versionOf = (option: string): number => found.find((one) => one.key === `${name}.${option}`)?.version ?? 0;
  const value = untilMs === null ? 'true' : new Date(untilMs).toISOString();
  await settings.set(`${name}.${key}`, value, versionOf(key));
  if (versionOf(other) > 0) await settings.set(`${name}.${other}`, null, versionOf(other));
}

/** Removes the settings that pause a name. Rejects with Conflict as {@link pause} does. */
export async function resume(settings: Settings, { found }: PauseSettings): Promise<void> {
  for (const { key, version } of found) await settings.set(key, null, version);
}
