/** Declares each option once, and reads options from files, variables and code. One error names every fault. */
import { BusError, didYouMean, nearest } from './errors';

interface Described {
  /** Description of the option: one sentence with a capital and a full stop. It explains the purpose and the limits. */
  readonly description: string;
  /** True if settings can change it while the bus is open. */
  readonly live?: boolean;
}
/** Integer, duration in ms, size in bytes, or share of a whole, with its limits. */
export interface NumberOption extends Described {
  readonly type: 'integer' | 'duration' | 'bytes' | 'share';
  readonly default?: number;
  readonly min: number;
  readonly max: number;
}
/** A text. A secret is a text that is never printed. */
export interface TextOption extends Described {
  readonly type: 'text' | 'secret';
  readonly default?: string;
  readonly pattern?: RegExp;
  /** Returns a further fault of the text as the rest of a sentence, or undefined. */
  readonly check?: (text: string) => string | undefined;
}
export interface FlagOption extends Described {
  readonly type: 'flag';
  readonly default?: boolean;
}
export interface ChoiceOption extends Described {
  readonly type: 'choice';
  readonly choices: readonly string[];
  readonly default?: string;
}
/** A list of texts. In a variable they are separated by commas. */
export interface ListOption extends Described {
  readonly type: 'list';
  readonly default?: readonly string[];
  /** Returns the fault of one item as the rest of a sentence, or undefined. */
  readonly check?: (item: string) => string | undefined;
}
export type Option = NumberOption | TextOption | FlagOption | ChoiceOption | ListOption;
export type Options = Readonly<Record<string, Option>>;

/** Type of the value that the code reads. */
export type ValueOf<O extends Option> = O extends NumberOption
  ? number
  : O extends TextOption
    ? string
    : O extends FlagOption
      ? boolean
      : O extends ChoiceOption
        ? O['choices'][number]
        : readonly string[];
/** Values of all options. Options without a default can be undefined. */
export type ValuesOf<D extends Options> = {
  readonly [K in keyof D]: D[K] extends { readonly default: unknown } ? ValueOf<D[K]> : ValueOf<D[K]> | undefined;
};
/** Values that code can pass. Durations and sizes can also be texts such as '10s' or '64MB'. */
export type GivenTo<D extends Options> = {
  readonly [K in keyof D]?: D[K] extends { readonly type: 'duration' | 'bytes' } ? number | string : ValueOf<D[K]>;
};

/** One source of values: a file, the environment, or code. */
export interface Layer {
  /**
   * Returns where the value of an option was read, in words for a person: the path of a file, or the name of a
   * variable.
   */
  readonly sourceOf: (name: string) => string;
  readonly values: Readonly<Record<string, unknown>>;
  /** Faults of the source as a whole. */
  readonly faults?: readonly string[];
  /** Advice for an unknown option: the end of the sentence that reports it. */
  readonly unknown?: string;
  /**
   * Options that this source can set.
   *
   * @default all declared options
   */
  readonly only?: Options;
}
/** Values of all options, and their sources. */
export interface Loaded<D extends Options> {
  readonly values: ValuesOf<D>;
  /** Source of each value; 'default' if no source set it. */
  readonly sources: { readonly [K in keyof D]: string };
}

/**
 * Declares options. Throws Config if a default violates the limits of its option, which is a mistake of the programmer.
 */
export function options<const D extends Options>(declared: D): D {
  for (const [name, option] of Object.entries(declared)) {
    const checked = option.default === undefined ? undefined : accept(option, option.default);
    if (checked && 'fault' in checked) throw configError([`default of ${name} ${checked.fault}`]);
    Object.freeze(option);
  }
  return Object.freeze(declared);
}

/**
 * Reads the values of all options. A later layer overrides an earlier one. Throws one Config error that names every
 * fault of every layer, even of values that a later layer overrides.
 */
export function readOptions<D extends Options>(declared: D, layers: readonly Layer[]): Loaded<D> {
  const { faults, ...loaded } = readRight(declared, layers);
  if (faults.length > 0) throw configError(faults);
  return loaded;
}

/** Reads the values of all options, and returns the faults instead of throwing. An invalid value is ignored. */
export function readRight<D extends Options>(
  declared: D,
  layers: readonly Layer[],
): Loaded<D> & { readonly faults: readonly string[] } {
  const values: Record<string, unknown> = {};
  const sources: Record<string, string> = {};
  for (const [name, option] of Object.entries(declared)) {
    values[name] = Array.isArray(option.default) ? Object.freeze([...option.default]) : option.default;
    sources[name] = 'default';
  }
  const faults = layers.flatMap((layer) => readLayer(declared, layer, values, sources));
  // Casts: every declared name has a value that its own option accepted.
  return {
    faults,
    values: Object.freeze(values) as ValuesOf<D>,
    sources: Object.freeze(sources) as { readonly [K in keyof D]: string },
  };
}

function readLayer(
  declared: Options,
  layer: Layer,
  values: Record<string, unknown>,
  sources: Record<string, string>,
): readonly string[] {
  const faults = [...(layer.faults ?? [])];
  const allowed = layer.only ?? declared;
  for (const [name, raw] of Object.entries(layer.values)) {
    if (raw === undefined) continue;
    const source = layer.sourceOf(name);
    const option = ownOption(allowed, name);
    const read = option ? accept(option, raw) : undefined;
    if (!option || !read)
      faults.push(describeUnknown(name, source, nearest(name, Object.keys(allowed))) + (layer.unknown ?? ''));
    else if ('fault' in read) faults.push(`${name} = ${show(option, raw)} (${source}) ${read.fault}`);
    else {
      values[name] = read.value;
      sources[name] = source;
    }
  }
  return faults;
}

/** Returns `declared[name]`, but nothing inherited from Object: otherwise an option `constructor` would be found. */
export function ownOption(declared: Options, name: string): Option | undefined {
  return Object.hasOwn(declared, name) ? declared[name] : undefined;
}

/** Returns the name of an option's variable: `drainMs` is `BUSBAR_DRAIN_MS`. */
export function variableOf(name: string): string {
  return prefix + name.replace(/[A-Z]/g, (capital) => `_${capital}`).toUpperCase();
}
const prefix = 'BUSBAR_';

/**
 * Returns the values of the BUSBAR_* variables. Empty ones count as unset. Unknown ones are faults, except for those in
 * `besides`.
 */
export function variableLayer(
  declared: Options,
  env: Readonly<Record<string, string | undefined>>,
  besides: readonly string[] = [],
): Layer {
  const optionOf = new Map(Object.keys(declared).map((name) => [variableOf(name), name]));
  const known = [...optionOf.keys(), ...besides].map((variable) => variable.slice(prefix.length));
  const values: Record<string, string> = {};
  const faults: string[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(prefix) || !text || besides.includes(variable)) continue;
    const name = optionOf.get(variable);
    if (name) values[name] = text;
    else faults.push(describeUnknown(variable, 'environment', nearest(variable.slice(prefix.length), known), prefix));
  }
  return { sourceOf: variableOf, values, faults };
}

// --- one value

export type Accepted = { readonly value: unknown } | { readonly fault: string };

/** Returns the value in the form that the code uses, or its fault as the rest of a sentence. */
export function accept(option: Option, raw: unknown): Accepted {
  switch (option.type) {
    case 'integer':
      return within(option, scaled(raw, { '': 1 }), 'is not a whole number');
    case 'duration':
      return within(option, scaled(raw, msPer), "is not a duration such as 250, '250ms', '10s' or '5m'");
    case 'bytes':
      return within(option, scaled(raw, bytesPer), "is not a size such as 65536, '64KB' or '2MB'");
    case 'share':
      return within(option, shareOf(raw), 'is not a number such as 0.5');
    case 'text':
    case 'secret':
      return text(option, raw);
    case 'flag':
      if (raw === true || raw === 'true') return { value: true };
      return raw === false || raw === 'false' ? { value: false } : { fault: 'is neither true nor false' };
    case 'choice':
      return choice(option, raw);
    case 'list':
      return list(option, raw);
  }
}

type Units = Readonly<Record<string, number>>;
const msPer: Units = { '': 1, ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Factors of the units of size: powers of 1,024, as is usual for memory. */
const bytesPer: Units = { '': 1, B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 };

function scaled(raw: unknown, units: Units): number | undefined {
  const [, digits = '', unit = ''] = /^(-?\d{1,16}(?:\.\d{1,6})?) ?([a-zA-Z]{0,2})$/.exec(String(raw)) ?? [];
  if (digits === '' || (typeof raw !== 'string' && typeof raw !== 'number') || !Object.hasOwn(units, unit)) return;
  const exact = Number(digits) * (units[unit] ?? 1);
  const whole = Math.round(exact); // '1.1s' times 1,000 is not exactly 1,100
  return Math.abs(exact - whole) < 1e-6 && Number.isSafeInteger(whole) ? whole : undefined;
}

function shareOf(raw: unknown): number | undefined {
  return (typeof raw === 'number' || typeof raw === 'string') && /^\d(?:\.\d{1,6})?$/.test(String(raw))
    ? Number(raw)
    : undefined;
}

function within(option: NumberOption, value: number | undefined, otherwise: string): Accepted {
  if (value === undefined) return { fault: otherwise };
  if (value < option.min) return { fault: `is below the minimum of ${describeNumber(option, option.min)}` };
  if (value > option.max) return { fault: `is above the maximum of ${describeNumber(option, option.max)}` };
  return { value };
}

function text(option: TextOption, raw: unknown): Accepted {
  if (typeof raw !== 'string') return { fault: 'is not a string' };
  if (option.pattern && !option.pattern.test(raw)) return { fault: `does not match ${option.pattern.source}` };
  const fault = option.check?.(raw);
  return fault === undefined ? { value: raw } : { fault };
}

function choice(option: ChoiceOption, raw: unknown): Accepted {
  if (typeof raw === 'string' && option.choices.includes(raw)) return { value: raw };
  return { fault: `is not one of ${option.choices.join(', ')}${didYouMean(nearest(String(raw), option.choices))}` };
}

function list(option: ListOption, raw: unknown): Accepted {
  const items: unknown = typeof raw === 'string' ? raw.split(',').map((item) => item.trim()) : raw;
  const allTexts = Array.isArray(items) && items.every((item) => typeof item === 'string' && item !== '');
  if (!allTexts) return { fault: "is not a list of strings such as 'a,b'" };
  const fault = items.map((item) => option.check?.(item)).find((one) => one !== undefined);
  return fault === undefined ? { value: Object.freeze([...items]) } : { fault };
}

// --- error texts

const optionsRemedy =
  'Correct the options that the message names, in the place that it names (openBus, BUSBAR_* variables or the ' +
  'configuration file), then start the process again.';
export function configError(faults: readonly string[], remedy = optionsRemedy): BusError<'Config'> {
  const shown = faults.slice(0, faultsShownMax);
  if (faults.length > shown.length) shown.push(`and ${faults.length - shown.length} more`);
  const message = shown.length === 1 ? shown[0] : `${faults.length} faults:\n- ${shown.join('\n- ')}`;
  return new BusError('Config', `configuration: ${message}`, { faults }, undefined, remedy);
}
const faultsShownMax = 30; // about one screen

/** Returns a value for an error text. The value of a secret is never shown. */
function show(option: Option, raw: unknown): string {
  if (option.type === 'secret') return '***';
  try {
    return (JSON.stringify(raw) ?? String(raw)).slice(0, 80);
  } catch {
    return typeof raw; // a bigint or a circular value
  }
}

/** Returns the text about an unknown option. It omits the value, which can be a secret under a misspelt name. */
function describeUnknown(name: string, source: string, near: string | undefined, before = ''): string {
  return `${name} (${source}) is not an option${didYouMean(near, before)}`;
}

/** Returns a number with its unit, in a form that can be parsed again: '10s', '2MB', 100. */
export function describeNumber(option: NumberOption, value: number): string {
  if (option.type === 'integer' || option.type === 'share' || value === 0) return String(value);
  const units = Object.entries(option.type === 'duration' ? msPer : bytesPer).toReversed();
  const [unit, per] = units.find(([, each]) => value % each === 0) ?? ['', 1];
  return `${value / per}${unit}`;
}
