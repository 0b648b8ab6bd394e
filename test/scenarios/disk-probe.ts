/** Measures the disk and the event loop beside a scenario, so that its times can be told from those of the machine. */
import { closeSync, existsSync, fdatasync, openSync, readFileSync, rmSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const intervalMs = 200;
const [writeBytes, sync] = [promisify(write), promisify(fdatasync)];

/** Durations since the start of a probe, or since the last reading. */
export interface Probed {
  /** Durations of one write of a message and its fdatasync, to a file of their own. */
  readonly diskMs: readonly number[];
  /** Delays of the timer of the probe. */
  readonly loopMs: readonly number[];
  /** Times within one interval for which the thread of the event loop could run and had no processor. */
  readonly processorMs: readonly number[];
}
export const nothingProbed: Probed = { diskMs: [], loopMs: [], processorMs: [] };

const schedule = `/proc/self/task/${process.pid}/schedstat`;
/** Returns the time for which the main thread has waited for a processor since its start. Linux only; elsewhere 0. */
function waitedMs(): number {
  if (!existsSync(schedule)) return 0;
  return Number(readFileSync(schedule, 'utf8').split(' ')[1]) / 1e6;
}

/** Starts to write `bytes` to a new file in `dir` five times a second. */
export function probeDisk(dir: string, bytes: number): { read(): Probed; stop(): void } {
  const path = join(dir, `probe-${process.pid}`);
  const file = openSync(path, 'w');
  const value = Buffer.alloc(bytes, 0x61);
  const empty = () => ({ diskMs: [] as number[], loopMs: [] as number[], processorMs: [] as number[] });
  let probed = empty();
  let waitedBeforeMs = waitedMs();
  let [at, isWriting] = [0, false];
  let dueMs = performance.now() + intervalMs;
  const once = async (): Promise<void> => {
    const beganMs = performance.now();
    probed.loopMs.push(Math.max(0, beganMs - dueMs));
    dueMs = beganMs + intervalMs;
    probed.processorMs.push(waitedMs() - waitedBeforeMs);
    waitedBeforeMs = waitedMs();
    if (isWriting) return;
    isWriting = true;
    await writeBytes(file, value, 0, bytes, at);
    await sync(file);
    isWriting = false;
    at += bytes;
    probed.diskMs.push(performance.now() - beganMs);
  };
  const timer = setInterval(() => void once().catch(() => undefined), intervalMs);
  return {
    read() {
      const found = probed;
      probed = empty();
      return found;
    },
    stop() {
      clearInterval(timer);
      if (!isWriting) closeSync(file); // a write that runs keeps it open until the process ends
      rmSync(path, { force: true });
    },
  };
}
