/** Reads the configuration from a file, variables and code, and applies settings to it. */
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { Clock } from './base/clock';
import { isCode, errorMessage } from './base/errors';
import { openLive, readSetting, type Live, type Meant } from './base/live';
import type { Notices } from './base/notices';
import { readOptions, readRight, variableLayer, type Layer, type Loaded } from './base/options';
import { busOptions, entryOptions, secretVariables, type BusGiven } from './options';

/** Values of all options, and their sources. */
export type Config = Loaded<typeof busOptions>;

/** Sources of the configuration. */
export interface ConfigParts {
  /**
   * Options passed by code. They override files and variables. `by` is the function that received them, for error
   * texts.
   */
  readonly overrides?: BusGiven;
  readonly by?: 'openBus' | 'runModule';
  /**
   * Environment variables.
   *
   * @default process.env
   */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Returns the text of a file, or undefined if it does not exist. */
  readonly readFile?: (path: string) => string | undefined;
}

/**
 * Reads the configuration. Each source overrides the one before: defaults, one JSON file, BUSBAR_* variables, options
 * passed by code.
 *
 * The file is an object of option names and values. Its path is the variable BUSBAR_CONFIG, or else
 * ./config/default.json if that exists.
 *
 * Throws one Config error that names every unknown or wrong option with its value, its source and its limit.
 */
export function loadConfig(parts: ConfigParts = {}): Config {
  return readOptions(busOptions, layersOf(parts));
}
/** Reads the configuration without its wrong options. It configures the log that reports them. */
export const loadRight = (parts: ConfigParts): Config => readRight(busOptions, layersOf(parts));

function layersOf(parts: ConfigParts): readonly Layer[] {
  const { overrides = {}, by = 'openBus', env = process.env, cwd = process.cwd(), readFile = readText } = parts;
  return [
    fileLayer(env['BUSBAR_CONFIG'], cwd, readFile),
    variableLayer(busOptions, env, ['BUSBAR_CONFIG', ...Object.values(secretVariables)]),
    { sourceOf: () => by, values: overrides },
  ];
}

function fileLayer(named: string | undefined, cwd: string, readFile: (path: string) => string | undefined): Layer {
  const path = named ? (isAbsolute(named) ? named : join(cwd, named)) : join(cwd, 'config', 'default.json');
  const none: Layer = { sourceOf: () => path, values: {} };
  const remedy = named ? '' : '; if it is not meant for the bus, name another file in BUSBAR_CONFIG';
  try {
    const text = readFile(path);
    if (text === undefined) return named ? { ...none, faults: [`${path} (BUSBAR_CONFIG) does not exist`] } : none;
    const values: unknown = JSON.parse(text);
    if (isObject(values)) return { ...none, values, unknown: remedy };
    return { ...none, faults: [`${path} is not an object of options${remedy}`] };
  } catch (error) {
    return { ...none, faults: [`${path} cannot be read: ${errorMessage(error)}${remedy}`] };
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Values without a file, a variable or code. */
export const defaults: Config['values'] = readOptions(busOptions, []).values;

const declared = { bus: busOptions, entry: entryOptions };
/** Options with the settings applied. */
export type LiveConfig = Live<typeof busOptions, typeof entryOptions>;

/** Creates the options that settings can change. `settings.watch(live.take)` keeps them up to date. */
export function liveConfig(configured: Config['values'], notices: Notices, clock: Clock): LiveConfig {
  return openLive({ ...declared, configured, notices, clock });
}
/** Returns the parsed setting, or the reason why no bus would apply it, as a sentence. */
export const checkSetting = (key: string, value: string): Meant | string => readSetting(declared, { key, value });
