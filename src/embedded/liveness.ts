/** Tells from an address alone whether its process still lives, without asking it: the kernel knows. */
import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import type { Random } from '../base/clock';
import { randomHex } from '../base/clock';

// <pid>-<start of the process in ticks since boot>-<pid namespace>-<random>: never the same twice, also when a pid is.
const pattern = /^(\d{1,10})-(\d{1,20})-(\d{1,20})-([0-9a-f]{8})$/;
const stat = Buffer.allocUnsafeSlow(1024);

/** Where one opened bus is reached: the name of its socket. The longest is 40 characters in practice, 63 at most. */
export function newAddress(random: Random): string {
  return `${process.pid}-${lifeOf(process.pid)?.start ?? '0'}-${ownSpace()}-${randomHex(random, 32)}`;
}
export const addressCharactersMax = 40;

export function isAddress(text: string): boolean {
  return pattern.test(text);
}

/**
 * Whether the process behind `address` lives. A stopped process (SIGSTOP) lives: it does not answer, but it may go on.
 * A zombie does not. undefined when the process belongs to another pid namespace: only its socket can tell.
 */
export function processLives(address: string): boolean | undefined {
  const [, pid, start, space] = pattern.exec(address) ?? [];
  if (pid === undefined) return false;
  if (space !== ownSpace()) return undefined;
  if (start === '0') return answersSignal(Number(pid));
  const life = lifeOf(Number(pid));
  return life !== undefined && life.start === start && life.state !== 'Z' && life.state !== 'X';
}

/** Whether `address` was made in the pid namespace of this process, so that its pid means something here. */
export function ofOwnSpace(address: string): boolean {
  return pattern.exec(address)?.[3] === ownSpace();
}

/** State and start of a process from /proc, undefined if there is none (or no /proc). */
function lifeOf(pid: number): { state: string; start: string } | undefined {
  let file: number;
  try {
    file = openSync(`/proc/${pid}/stat`, 'r');
  } catch {
    return undefined;
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
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0'; // no /proc: one namespace for the machine
  }
}
