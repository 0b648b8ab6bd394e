/** Encodes an instance into the name of a node, so that a watcher reads all instances with one listing. */
import { createHash } from 'node:crypto';
import { BusError } from '../../base/errors';
import { isInstance, type Instance } from '../../ports/registry';
import { escape } from '../paths';

/** A node below a contract. Its content never changes: an instance with new facts gets a new node. */
export interface Announcement {
  readonly node: string;
  /** Data of the node. Empty if its name contains the whole announcement. */
  readonly data: string;
}

/**
 * Longest name of a node that contains the announcement, in bytes. Each listing repeats every name, so longer
 * announcements are stored as data.
 */
const nodeBytesMax = 1_000;
/** Largest announcement, in bytes of its JSON. */
const instanceBytesMax = 64 * 1024;
/** Contracts in one announcement. Each takes a node in the transaction. */
const contractsMax = 256;
/**
 * Largest transaction, in bytes; all nodes of an announcement change in one. A server closes the connection of a client
 * that sends 1 MB (jute.maxbuffer) or more. A larger transaction would thus end each new connection as well.
 */
const transactionBytesMax = 900_000;
/** Upper estimate of path, rights and length fields of one node in a transaction, in bytes. */
const nodeOverheadBytes = 512;

/**
 * Returns the node of an instance. Its name is
 * `photos#0a1b,<incarnation>,<address>,photos,<host>,<pid>,<sinceMs>,<version>,<0 or 1>,photos=<fingerprint>,…`
 */
export function announcementOf(instance: Instance): Announcement {
  const { name, incarnation } = instance;
  const node = nodeNameOf(instance);
  if (node.length <= nodeBytesMax) return { node, data: '' };
  const data = textOfInstance(instance);
  const mark = createHash('sha256').update(data).digest('hex').slice(0, 16);
  return { node: [name, incarnation].map(escape).concat(mark).join(','), data };
}

function nodeNameOf(instance: Instance): string {
  const { name, incarnation, address, module, host, pid, sinceMs, version, leaving, serves } = instance;
  const texts = [name, incarnation, address, module, host, `${pid}`, `${sinceMs}`, version, leaving ? '1' : '0'];
  const served = Object.entries(serves).map(([contract, print]) => `${escape(contract)}=${escape(print)}`);
  return [...texts.map(escape), ...served].join(',');
}

/** Returns the announcement as JSON, for people and for announcements that are too long for a name. Throws TooLarge. */
export function textOfInstance(instance: Instance): string {
  const text = JSON.stringify(instance);
  const bytes = Buffer.byteLength(text);
  const served = Object.keys(instance.serves).length;
  if (bytes > instanceBytesMax) throw tooLarge(instance, 'bytes', bytes, instanceBytesMax);
  if (served > contractsMax) throw tooLarge(instance, 'contracts', served, contractsMax);
  const node = nodeNameOf(instance).length;
  const nodeBytes = nodeOverheadBytes + (node > nodeBytesMax ? bytes : node);
  const total = bytes + served * nodeBytes;
  if (total > transactionBytesMax) throw tooLarge(instance, 'bytes in one transaction', total, transactionBytesMax);
  return text;
}
function tooLarge({ name }: Instance, what: string, bytes: number, limitBytes: number): BusError<'TooLarge'> {
  const message = `${name} announces ${bytes} ${what}, the limit is ${limitBytes}. Serve them in several processes`;
  return new BusError('TooLarge', message, { bytes, limitBytes });
}

/**
 * Returns the instance that the name of a node contains. Returns 'data' if it is in the node's data, and undefined if
 * the node is not an announcement.
 */
export function instanceOfNode(node: string): Instance | 'data' | undefined {
  const fields = node.split(',');
  if (fields.length === 3) return 'data';
  try {
    const texts = fields.slice(0, 9).map(unescape);
    const serves = Object.fromEntries(fields.slice(9).map((field) => field.split('=', 2).map(unescape)));
    const [name, incarnation, address, module, host, pid, sinceMs, version, leaving] = texts;
    const numbers = { pid: Number(pid), sinceMs: Number(sinceMs) };
    return checked({ name, incarnation, address, module, host, ...numbers, version, leaving: leaving === '1', serves });
  } catch {
    return undefined;
  }
}
function unescape(text: string): string {
  return text === '%' ? '' : decodeURIComponent(text);
}

/** Returns the instance in a text of {@link textOfInstance}, or undefined if the text is not an announcement. */
export function instanceOfText(text: string): Instance | undefined {
  try {
    return checked(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function checked(value: unknown): Instance | undefined {
  return isInstance(value) ? value : undefined;
}
