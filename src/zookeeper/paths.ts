/** Where everything lies in ZooKeeper, and how any text becomes the name of a node and is found in it again. */
import { BusError } from '../base/errors';

/** `/busbar/<ns>` with settings, one node a key; instances, one a name; contracts, a folder each with who serves it. */
export interface Paths {
  readonly base: string;
  readonly settings: string;
  readonly instances: string;
  readonly contracts: string;
  setting(key: string): string;
  instance(name: string): string;
  contract(contract: string): string;
}

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

/** ZooKeeper closes the connection on what is too large for it, so that it must be refused here. */
const nodeBytesMax = 4_096;

/**
 * The name of the node that stands for `text`: what ZooKeeper takes as it is stays readable, the rest is
 * percent-encoded. Throws TooLarge, and Invalid for half a surrogate pair.
 */
export function nodeOf(text: string): string {
  const node = escape(text);
  if (node.length <= nodeBytesMax) return node;
  const message = `'${text.slice(0, 40)}…' would be a node name of ${node.length} bytes, the limit is ${nodeBytesMax}`;
  throw new BusError('TooLarge', message, { bytes: node.length, limitBytes: nodeBytesMax });
}

/** The text that a node stands for; undefined if {@link nodeOf} would have named it otherwise. */
export function textOf(node: string): string | undefined {
  if (node === empty) return '';
  try {
    const text = decodeURIComponent(node);
    return escape(text) === node ? text : undefined;
  } catch {
    return undefined;
  }
}

const empty = '%'; // which no encoded text is
const special: ReadonlyMap<string, string> = new Map([
  ['', empty],
  ['.', '%2E'],
  ['..', '%2E%2E'],
]);

/** As {@link nodeOf}, of any length; commas are free to separate. */
export function escape(text: string): string {
  try {
    return special.get(text) ?? encodeURIComponent(text).replaceAll('%23', '#');
  } catch {
    const message = `'${text.slice(0, 40)}' has half a surrogate pair, which ZooKeeper cannot hold`;
    throw new BusError('Invalid', message, { side: 'input', issues: [{ message }] });
  }
}
