/** What settings change while the bus is open: checked by the same declarations, last good value kept. */
import type { Clock } from './clock';
import { nearest } from './errors';
import type { Notices } from './notices';
import { accept, ownOption, type Option, type Options, type ValuesOf } from './options';

/** A setting as its store holds it. */
export interface Said {
  readonly key: string;
  readonly value: string;
  readonly version: number;
}
/** A setting that is not applied; `atMs` is when it was seen first, in milliseconds since 1970. */
export interface Refused {
  readonly key: string;
  readonly reason: string;
  readonly atMs: number;
}
export type PartOf<E extends Options> = Partial<ValuesOf<E>>;

/**
 * The key of a setting is the name of a live option, for the whole bus (`logLevel`), or of an entry or a named listener
 * and one of its options (`photos.resize.concurrency`). A refused value changes nothing: the last good one holds, and
 * the refusal is told as a notice and listed until the setting is another one.
 */
export interface Live<B extends Options, E extends Options> {
  /** What holds now for the whole bus: as configured, under what settings say. */
  readonly bus: ValuesOf<B>;
  /** What settings say about one entry or listener; the rest is as `serve` and the contract said. */
  entry(name: string): PartOf<E>;
  readonly refused: readonly Refused[];
  /** Takes over everything that the store holds now: what is no longer there goes back to what was configured. */
  take(said: readonly Said[]): void;
  /**
   * Calls `see` after a change with the name of the entry, or with '' for the whole bus, until the function given back
   * is called.
   */
  watch(see: (name: string) => void): () => void;
}
/** The options that settings may be about. */
export interface Declared {
  /** Of the whole bus. */
  readonly bus: Options;
  /** Of each entry and named listener. */
  readonly entry: Options;
}
export interface LiveParts<B extends Options, E extends Options> extends Declared {
  readonly bus: B;
  readonly entry: E;
  /** As configured at the start. */
  readonly configured: ValuesOf<B>;
  readonly notices: Notices;
  readonly clock: Clock;
}

/** What a setting means. */
export interface Meant {
  /** The entry or listener, '' for the whole bus. */
  readonly scope: string;
  /** The option. */
  readonly name: string;
  readonly value: unknown;
}
const settingsMax = 10_000; // a store that was filled by mistake must not fill every process

export function openLive<B extends Options, E extends Options>(parts: LiveParts<B, E>): Live<B, E> {
  const seen = new Map<string, Said>();
  /** The last good one of each key. */
  const applied = new Map<string, Meant>();
  const refused = new Map<string, Refused>();
  const entries = new Map<string, PartOf<E>>();
  const watchers = new Set<(name: string) => void>();
  let bus = parts.configured;

  function take(said: readonly Said[]): void {
    const changed = new Set<string>();
    const kept = said.slice(0, settingsMax);
    for (const setting of kept) {
      if (isSame(seen.get(setting.key), setting)) continue;
      seen.set(setting.key, setting);
      const now = readSetting(parts, setting);
      if (typeof now === 'string') refuse(setting.key, now);
      else apply(setting.key, now, changed);
    }
    forget(new Set(kept.map(({ key }) => key)), changed);
    if (said.length > settingsMax) refuse(said[settingsMax]?.key ?? '', `more than ${settingsMax} settings`);
    rebuild(changed);
  }

  function refuse(key: string, reason: string): void {
    refused.set(key, { key, reason, atMs: parts.clock.now() });
    parts.notices.tell({ type: 'setting', key, change: 'refused', reason });
  }

  function apply(key: string, now: Meant, changed: Set<string>): void {
    refused.delete(key);
    applied.set(key, now);
    changed.add(now.scope);
    parts.notices.tell({ type: 'setting', key, change: 'applied', value: String(now.value) });
  }

  function forget(there: ReadonlySet<string>, changed: Set<string>): void {
    for (const key of refused.keys()) if (!there.has(key)) refused.delete(key);
    for (const key of seen.keys()) {
      if (there.has(key)) continue;
      seen.delete(key);
      const gone = applied.get(key);
      if (!gone) continue;
      applied.delete(key);
      changed.add(gone.scope);
      const back = gone.scope === '' ? { value: String(parts.configured[gone.name]) } : {};
      parts.notices.tell({ type: 'setting', key, change: 'removed', ...back });
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

/** One that was removed and made again between two looks may have the version of the one before, but another value. */
function isSame(before: Said | undefined, now: Said): boolean {
  return before?.version === now.version && before.value === now.value;
}

function valuesOf(applied: Iterable<Meant>, scope: string): Record<string, unknown> {
  return Object.fromEntries([...applied].filter((one) => one.scope === scope).map(({ name, value }) => [name, value]));
}

/** What a setting means, or why it cannot be applied. */
export function readSetting(parts: Declared, { key, value }: Pick<Said, 'key' | 'value'>): Meant | string {
  const dot = key.lastIndexOf('.');
  const scope = key.slice(0, Math.max(0, dot));
  const name = key.slice(dot + 1);
  const declared = liveOnly(scope === '' ? parts.bus : parts.entry);
  const option = ownOption(declared, name);
  if (!option) return sayNotLive(parts, scope, name, Object.keys(declared));
  const accepted = accept(option, value);
  return 'fault' in accepted ? `${JSON.stringify(value.slice(0, 80))} ${accepted.fault}` : { scope, name, ...accepted };
}

function liveOnly(declared: Options): Options {
  return Object.fromEntries(Object.entries(declared).filter(([, option]: [string, Option]) => option.live));
}

function sayNotLive(parts: Declared, scope: string, name: string, live: readonly string[]): string {
  if (scope === '' && ownOption(parts.bus, name)) return `${name} is read at the start only`;
  const near = nearest(name, live);
  const hint = near === undefined ? `those are ${live.join(', ')}` : `did you mean ${near}?`;
  return `${name || 'nothing'} is no live option; ${hint}`;
}
