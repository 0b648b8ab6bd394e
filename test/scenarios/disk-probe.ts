/** Measures the disk and the event loop beside a scenario, so that its times can be told from those of the machine. */
import { closeSync, fdatasync, openSync, rmSync, write } from 'node:fs';
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
}

/** Starts to write `bytes` to a new file in `dir` five times a second. */
export function probeDisk(dir: string, bytes: number): { read(): Probed; stop(): void } {
  const path = join(dir, `probe-${process.pid}`);
  const file = openSync(path, 'w');
  const value = Buffer.alloc(bytes, 0x61);
  let probed = { diskMs: [] as number[], loopMs: [] as number[] };
  let [at, isWriting] = [0, false];
  let dueMs = performance.now() + intervalMs;
  const once = async (): Promise<void> => {
    const beganMs = performance.now();
    probed.loopMs.push(Math.max(0, beganMs - dueMs));
    dueMs = beganMs + intervalMs;
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
      probed = { diskMs: [], loopMs: [] };
      return found;
    },
    stop() {
      clearInterval(timer);
      if (!isWriting) closeSync(file); // a write that runs keeps it open until the process ends
      rmSync(path, { force: true });
    },
  };
}
