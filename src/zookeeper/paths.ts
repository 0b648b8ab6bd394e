/** Paths of the nodes in ZooKeeper, and the encoding of any text as the name of a node. */
import { BusError } from '../base/errors';

/**
 * Paths below `/busbar/<ns>`: `settings` has a node per key, `instances` a node per name. `contracts` has a folder per
 * contract, with a node for each instance that serves it.
 */
export interface Paths {
  readonly base: string;
  readonly settings: string;
  readonly instances: string;
  readonly contracts: string;
  setting(key: string): string;
  instance(name: string): string;
  contract(contract: string): string;
}

/** Returns the paths of a namespace. */
export function pathsOf(ns: string): Paths {
  const base = `/busbar/${nodeOf(ns)}`;
  const [settings, instances, contracts] = [`${base}/settings`, `${base}/instances`, `${base}/contracts`];
  return {
    base,
    settings,
    instances,
    contracts,
    setting: (key) => `${settings}/${nodeOf(key)}`,
    instance: (name) => `${instances}/${nodeOf(name)}`,
    contract: (contract) => `${contracts}/${nodeOf(contract)}`,
  };
}

/**
 * Longest name of a node, in bytes. ZooKeeper closes the connection on a request that is too large, so it must be
 * refused here.
 */
const nodeBytesMax = 4_096;

/**
 * Returns the name of the node for `text`. Characters that ZooKeeper accepts stay readable; the rest is
 * percent-encoded. Throws TooLarge, or Invalid for half a surrogate pair.
 */
export function nodeOf(text: string): string {
  const node = escape(text);
  if (node.length <= nodeBytesMax) return node;
  const message = `'${text.slice(0, 40)}…' would be a node name of ${node.length} bytes, the limit is ${nodeBytesMax}`;
  throw new BusError('TooLarge', message, { bytes: node.length, limitBytes: nodeBytesMax });
}

/** Returns the text of a node's name, or undefined if {@link nodeOf} would have encoded it differently. */
export function textOf(node: string): string | undefined {
  if (node === empty) return '';
  try {
    const text = decodeURIComponent(node);
    return escape(text) === node ? text : undefined;
  } catch {
    return undefined;
  }
}

const empty = '%'; // no encoded text equals this
const special: ReadonlyMap<string, string> = new Map([
  ['', empty],
  ['.', '%2E'],
  ['..', '%2E%2E'],
]);

/**
 * Encodes a text like {@link nodeOf}, but of any length. The result contains no comma, so commas can separate texts.
 */
export function escape(text: string): string {
  try {
    return special.get(text) ?? encodeURIComponent(text).replaceAll('%23', '#');
  } catch {
    const message = `'${text.slice(0, 40)}' has half a surrogate pair, which ZooKeeper cannot hold`;
    throw new BusError('Invalid', message, { side: 'input', issues: [{ message }] });
  }
}
