/**
 * Determines from an address whether its process is running. It reads the kernel's state, so the process need not
 * respond.
 */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import type { Random } from '../../base/clock';
import { randomHex } from '../../base/clock';
import { isCode } from '../../base/errors';
import { murmur2 } from '../../format/partition';

// <pid>-<start of the process in ticks since boot>-<space>-<random>: unique, even when a pid is reused. A space is a
// pid namespace in one boot of the machine. A pid identifies a process only within its space.
const pattern = /^(\d{1,10})-(\d{1,16})-([0-9a-f]{8})-([0-9a-f]{8})$/;
const stat = Buffer.allocUnsafeSlow(1024);

/** Returns a new address for one opened bus. The address is also the name of its socket. */
export function newAddress(random: Random): string {
  const own = processStateOf(process.pid);
  return `${process.pid}-${typeof own === 'object' ? own.start : '0'}-${ownSpace()}-${randomHex(random, 32)}`;
}
/** Longest address that is generated: a pid of 7 digits, and a start time of up to a hundred years in ticks. */
export const addressCharactersMax = 38;

export function isAddress(text: string): boolean {
  return pattern.test(text);
}

/**
 * Returns whether the process behind `address` is running. A stopped process (SIGSTOP) counts as running, because it
 * can continue. A zombie does not. Returns undefined for a process of another pid namespace or boot: only a connection
 * to its socket shows whether it is running.
 */
export function isProcessRunning(address: string): boolean | undefined {
  const [, pid, start, space] = pattern.exec(address) ?? [];
  if (pid === undefined) return false;
  if (space !== ownSpace()) return undefined;
  if (start === '0') return answersSignal(Number(pid));
  const state = processStateOf(Number(pid));
  if (state === 'unread') return answersSignal(Number(pid));
  return state !== undefined && state.start === start && state.state !== 'Z' && state.state !== 'X';
}

/**
 * Returns state and start of a process from /proc, or undefined if the process or /proc does not exist. Returns
 * 'unread' if the file cannot be read, for example because this process has no free file descriptor.
 */
function processStateOf(pid: number): { state: string; start: string } | 'unread' | undefined {
  let file: number;
  try {
    file = openSync(`/proc/${pid}/stat`, 'r');
  } catch (error) {
    return isCode(error, 'ENOENT', 'ESRCH') ? undefined : 'unread';
  }
  try {
    const text = stat.toString('latin1', 0, readSync(file, stat, 0, stat.length, 0));
    // The program name stands in parentheses and can hold any character, so fields are counted from the last
    // parenthesis.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ', 20);
    return fields[19] === undefined ? undefined : { state: fields[0] ?? '', start: fields[19] };
  } catch (error) {
    return isCode(error, 'ESRCH') ? undefined : 'unread'; // ESRCH: the process ended during the read
  } finally {
    closeSync(file);
  }
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isCode(error, 'EPERM');
  }
}

let space: string | undefined;
function ownSpace(): string {
  return (space ??= readSpace());
}
function readSpace(): string {
  const hash = murmur2(Buffer.from(`${readBoot()} ${readNamespace()}`));
  return (hash >>> 0).toString(16).padStart(8, '0');
}
// Without /proc the whole machine counts as one namespace, and boots are not distinguished.
function readNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
function readBoot(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1');
  } catch {
    return '';
  }
}
