/** Builds and parses the names that the bus uses outside itself: topics, groups, queues and settings. */
import { BusError } from '../base/errors';

const word = /^[a-z][a-zA-Z0-9-]{0,62}$/;
const rules = {
  namespace: word,
  module: word,
  /** Names of entries are also names of methods, so they have no dashes. */
  entry: /^[a-z][a-zA-Z0-9]{0,62}$/,
  /** The name of a listener, which is the option `as` of `listen`. */
  as: word,
  /** The name of a separate topic for an entry. */
  queue: word,
  /** Words with dots between them, at most 200 characters. */
  setting: /^(?=.{1,200}$)[a-z][a-zA-Z0-9-]{0,62}(?:\.[a-zA-Z0-9-]{1,63})*$/,
} as const;
export type Named = keyof typeof rules;

/**
 * Returns `name`, or throws Config with the rule that it violates. Names of all kinds except settings contain no dots,
 * so dots can join them.
 */
export function checkName(what: Named, name: string): string {
  if (rules[what].test(name)) return name;
  const fault = `${what} '${name}' does not match ${rules[what].source}`;
  throw new BusError('Config', fault, { faults: [fault] }, undefined, `Choose another name for the ${what}.`);
}

/** Builds the names of topics and groups of one namespace. Each method throws Config for an invalid name. */
export interface Names {
  /** Returns the topic for entries of kind work. Entries with a queue have a topic of their own. */
  work(module: string, queue?: string): string;
  broadcast(module: string): string;
  events(module: string): string;
  parked(module: string): string;
  inbox(): string;
  /** Returns the topic of the changes that operators made. */
  audit(): string;
  /** Returns the topic of a spool for records that the servers refuse. It never exists at the servers. */
  refused(): string;
  /** Returns the group of the instances that share the work of the module. */
  workGroup(module: string, queue?: string): string;
  /**
   * Returns the group of the instances of `listener` that share the events of `entry` (`module.entry`) under the name
   * `as`.
   */
  listenGroup(listener: string, as: string, entry: string): string;
}

export function namesIn(namespace: string): Names {
  const ns = checkName('namespace', namespace);
  const topic = (module: string, kind: ModuleTopic): string => `${ns}.${checkName('module', module)}.${kind}`;
  const work = (module: string, queue?: string): string =>
    topic(module, 'work') + (queue === undefined ? '' : `.${checkName('queue', queue)}`);
  return {
    work,
    broadcast: (module) => topic(module, 'broadcast'),
    events: (module) => topic(module, 'events'),
    parked: (module) => topic(module, 'parked'),
    inbox: () => `${ns}.inbox`,
    audit: () => `${ns}.audit`,
    refused: () => `${ns}.refused`,
    workGroup: work,
    listenGroup: (listener, as, entry) =>
      [ns, checkName('module', listener), checkName('as', as), ...checkEntry(entry)].join('.'),
  };
}

/**
 * Returns the name of a queue for operators: `photos.resize` for a work queue, `search.index` for a listener named
 * `index`.
 */
export function queueOf(module: string, name: string): string {
  return `${module}.${name}`;
}

const moduleTopics = ['work', 'broadcast', 'events', 'parked'] as const;
type ModuleTopic = (typeof moduleTopics)[number];
export type TopicName =
  | { readonly namespace: string; readonly kind: ModuleTopic; readonly module: string; readonly queue?: string }
  | { readonly namespace: string; readonly kind: 'inbox' | 'audit' };
export type GroupName =
  | { readonly namespace: string; readonly kind: 'work'; readonly module: string; readonly queue?: string }
  | {
      readonly namespace: string;
      readonly kind: 'listen';
      readonly listener: string;
      readonly as: string;
      readonly entry: string;
    };

/** Returns the parts of a topic's name; undefined for a topic that busbar did not name. */
export function parseTopic(name: string): TopicName | undefined {
  const [namespace = '', module = '', third, queue, ...more] = name.split('.');
  if (more.length > 0 || !rules.namespace.test(namespace)) return undefined;
  if (third === undefined) return module === 'inbox' || module === 'audit' ? { namespace, kind: module } : undefined;
  const kind = moduleTopics.find((topic) => topic === third);
  if (!kind || !rules.module.test(module)) return undefined;
  if (queue === undefined) return { namespace, kind, module };
  return kind === 'work' && rules.queue.test(queue) ? { namespace, kind, module, queue } : undefined;
}

/** Returns the parts of a group's name; undefined for a group that busbar did not name. */
export function parseGroup(name: string): GroupName | undefined {
  const [namespace = '', listener = '', as = '', module, entry, ...more] = name.split('.');
  if (module === undefined || entry === undefined) {
    const topic = parseTopic(name);
    return topic?.kind === 'work' ? { ...topic, kind: 'work' } : undefined;
  }
  const known = [rules.namespace, rules.module, rules.as, rules.module, rules.entry];
  const parts = [namespace, listener, as, module, entry];
  if (more.length > 0 || !known.every((rule, i) => rule.test(parts[i] ?? ''))) return undefined;
  return { namespace, kind: 'listen', listener, as, entry: `${module}.${entry}` };
}

function checkEntry(entry: string): readonly [string, string] {
  const dot = entry.indexOf('.');
  return [checkName('module', entry.slice(0, Math.max(dot, 0))), checkName('entry', entry.slice(dot + 1))];
}
