/**
 * Live settings: values that change while the bus is open. The declarations of the options check them, and the last
 * valid value stays in effect.
 */
import type { Clock } from './clock';
import { nearest } from './errors';
import type { Notices } from './notices';
import { accept, ownOption, type Option, type Options, type ValuesOf } from './options';

/** A setting as its store returns it. */
export interface StoredSetting {
  readonly key: string;
  readonly value: string;
  readonly version: number;
}
/** A setting that is not applied. `atMs` is the time at which it was first seen, in ms since 1970. */
export interface Refused {
  readonly key: string;
  readonly reason: string;
  readonly atMs: number;
}
/** Options of one entry or listener that are set. */
export type PartOf<E extends Options> = Partial<ValuesOf<E>>;

/**
 * Current values of the live options.
 *
 * The key of a setting is the name of a live option of the whole bus (`logLevel`). For an entry or named listener, it
 * is the name and one of its options (`photos.resize.concurrency`). A refused value has no effect: the last valid one
 * stays in effect. The refusal is emitted as a notice, and stays in `refused` until the setting changes.
 */
export interface Live<B extends Options, E extends Options> {
  /** Values for the whole bus: settings over the configuration. */
  readonly bus: ValuesOf<B>;
  /**
   * Returns the settings of one entry or listener. Options without a setting keep the value of `serve` or the contract.
   */
  entry(name: string): PartOf<E>;
  readonly refused: readonly Refused[];
  /** Applies the complete content of the store. Options without a setting return to their configured value. */
  take(stored: readonly StoredSetting[]): void;
  /**
   * Calls `see` after each change: with the name of the entry or listener, or with '' for the whole bus. Returns a
   * function that ends that.
   */
  watch(see: (name: string) => void): () => void;
}
/** Options that settings can change. */
export interface Declared {
  /** Options of the whole bus. */
  readonly bus: Options;
  /** Options of each entry and named listener. */
  readonly entry: Options;
}
export interface LiveParts<B extends Options, E extends Options> extends Declared {
  readonly bus: B;
  readonly entry: E;
  /** Values configured at the start. */
  readonly configured: ValuesOf<B>;
  readonly notices: Notices;
  readonly clock: Clock;
}

/** A setting that was parsed and accepted. */
export interface Meant {
  /** Name of the entry or listener; '' for the whole bus. */
  readonly scope: string;
  /** Name of the option. */
  readonly name: string;
  readonly value: unknown;
}
// settings read of one store: one that was filled by mistake must not exhaust the memory of every process
const settingsMax = 10_000;

export function openLive<B extends Options, E extends Options>(parts: LiveParts<B, E>): Live<B, E> {
  const seen = new Map<string, StoredSetting>();
  /** Last valid value of each key. */
  const applied = new Map<string, Meant>();
  const refused = new Map<string, Refused>();
  const entries = new Map<string, PartOf<E>>();
  const watchers = new Set<(name: string) => void>();
  let bus = parts.configured;

  function take(stored: readonly StoredSetting[]): void {
    const changed = new Set<string>();
    const kept = stored.slice(0, settingsMax);
    for (const setting of kept) {
      if (isSame(seen.get(setting.key), setting)) continue;
      seen.set(setting.key, setting);
      const now = readSetting(parts, setting);
      if (typeof now === 'string') refuse(setting.key, now);
      else apply(setting.key, now, changed);
    }
    forget(new Set(kept.map(({ key }) => key)), changed);
    if (stored.length > settingsMax) refuse(stored[settingsMax]?.key ?? '', `more than ${settingsMax} settings`);
    rebuild(changed);
  }

  function refuse(key: string, reason: string): void {
    refused.set(key, { key, reason, atMs: parts.clock.now() });
    parts.notices.emit({ type: 'setting', key, change: 'refused', reason });
  }

  function apply(key: string, now: Meant, changed: Set<string>): void {
    refused.delete(key);
    applied.set(key, now);
    changed.add(now.scope);
    parts.notices.emit({ type: 'setting', key, change: 'applied', value: String(now.value) });
  }

  function forget(storedKeys: ReadonlySet<string>, changed: Set<string>): void {
    for (const key of refused.keys()) if (!storedKeys.has(key)) refused.delete(key);
    for (const key of seen.keys()) {
      if (storedKeys.has(key)) continue;
      seen.delete(key);
      const removed = applied.get(key);
      if (!removed) continue;
      applied.delete(key);
      changed.add(removed.scope);
      const configured = removed.scope === '' ? parts.configured[removed.name] : undefined;
      const back = configured === undefined ? {} : { value: String(configured) };
      parts.notices.emit({ type: 'setting', key, change: 'removed', ...back });
    }
  }

  function rebuild(changed: ReadonlySet<string>): void {
    for (const scope of changed) {
      const values = valuesOf(applied.values(), scope);
      // Casts: each value was accepted by the option of its name.
      if (scope === '') bus = Object.freeze({ ...parts.configured, ...values }) as ValuesOf<B>;
      else if (Object.keys(values).length === 0) entries.delete(scope);
      else entries.set(scope, Object.freeze(values) as PartOf<E>);
    }
    for (const scope of changed) for (const see of watchers) see(scope);
  }

  return {
    get bus() {
      return bus;
    },
    entry: (name) => entries.get(name) ?? nothing,
    get refused() {
      return [...refused.values()];
    },
    take,
    watch(see) {
      watchers.add(see);
      return () => void watchers.delete(see);
    },
  };
}
const nothing = Object.freeze({});

/**
 * Returns whether the setting is unchanged. A setting that was removed and recreated between two reads can have the
 * same version but another value, so both are compared.
 */
function isSame(before: StoredSetting | undefined, now: StoredSetting): boolean {
  return before?.version === now.version && before.value === now.value;
}

function valuesOf(applied: Iterable<Meant>, scope: string): Record<string, unknown> {
  return Object.fromEntries([...applied].filter((one) => one.scope === scope).map(({ name, value }) => [name, value]));
}

/** Returns the parsed setting, or the reason why it cannot be applied. */
export function readSetting(parts: Declared, { key, value }: Pick<StoredSetting, 'key' | 'value'>): Meant | string {
  const dot = key.lastIndexOf('.');
  const scope = key.slice(0, Math.max(0, dot));
  const name = key.slice(dot + 1);
  const declared = liveOnly(scope === '' ? parts.bus : parts.entry);
  const option = ownOption(declared, name);
  if (!option) return describeNotLive(parts, scope, name, Object.keys(declared));
  const accepted = accept(option, value);
  return 'fault' in accepted ? `${JSON.stringify(value.slice(0, 80))} ${accepted.fault}` : { scope, name, ...accepted };
}

function liveOnly(declared: Options): Options {
  return Object.fromEntries(Object.entries(declared).filter(([, option]: [string, Option]) => option.live));
}

function describeNotLive(parts: Declared, scope: string, name: string, live: readonly string[]): string {
  if (scope === '' && ownOption(parts.bus, name)) return `${name} is read only when the bus is opened`;
  const near = nearest(name, live);
  const hint = near === undefined ? `the live options are ${live.join(', ')}` : `did you mean ${near}?`;
  return `${name || 'an empty name'} is not a live option; ${hint}`;
}
