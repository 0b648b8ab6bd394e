/** Tells from an address alone whether its process still lives, without asking it: the kernel knows. */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import type { Random } from '../../base/clock';
import { randomHex } from '../../base/clock';
import { murmur2 } from '../../format/partition';

// <pid>-<start of the process in ticks since boot>-<space>-<random>: never the same twice, also when a pid is.
// A space is a pid namespace in one boot of the machine: only within it does a pid say who somebody is.
const pattern = /^(\d{1,10})-(\d{1,16})-([0-9a-f]{8})-([0-9a-f]{8})$/;
const stat = Buffer.allocUnsafeSlow(1024);

/** Where one opened bus is reached: the name of its socket. */
export function newAddress(random: Random): string {
  const own = lifeOf(process.pid);
  return `${process.pid}-${typeof own === 'object' ? own.start : '0'}-${ownSpace()}-${randomHex(random, 32)}`;
}
/** 7 digits of pid, and ticks for a hundred years. */
export const addressCharactersMax = 38;

export function isAddress(text: string): boolean {
  return pattern.test(text);
}

/**
 * Whether the process behind `address` lives. A stopped process (SIGSTOP) lives: it does not answer, but it may go on.
 * A zombie does not. undefined when the process is of another pid namespace or boot: only its socket can tell.
 */
export function processLives(address: string): boolean | undefined {
  const [, pid, start, space] = pattern.exec(address) ?? [];
  if (pid === undefined) return false;
  if (space !== ownSpace()) return undefined;
  if (start === '0') return answersSignal(Number(pid));
  const life = lifeOf(Number(pid));
  if (life === 'unread') return answersSignal(Number(pid));
  return life !== undefined && life.start === start && life.state !== 'Z' && life.state !== 'X';
}

/**
 * State and start of a process from /proc, undefined if there is none (or no /proc). That we have no file descriptor
 * left to look with says nothing about it.
 */
function lifeOf(pid: number): { state: string; start: string } | 'unread' | undefined {
  let file: number;
  try {
    file = openSync(`/proc/${pid}/stat`, 'r');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''; // openSync throws nothing else for a sound path
    return ['ENOENT', 'ESRCH'].includes(code) ? undefined : 'unread';
  }
  try {
    const text = stat.toString('latin1', 0, readSync(file, stat, 0, stat.length, 0));
    // The name of the program stands in brackets and may hold any character, so the fields count from the last bracket.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ', 20);
    return fields[19] === undefined ? undefined : { state: fields[0] ?? '', start: fields[19] };
  } catch {
    return undefined; // it ended while we read
  } finally {
    closeSync(file);
  }
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // kill throws nothing else than a system error
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
// Without /proc there is one namespace for the machine, and the start of the machine is not told apart.
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
