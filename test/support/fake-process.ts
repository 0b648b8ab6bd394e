/** A fake process and a fake bus: the test controls signals and time, and reads exit codes. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../src/base/clock';
import { deferred, type Deferred } from '../../src/base/lifecycle';
import type { ExitSignal, Process } from '../../src/host/process';
import type { Bus, OpenOptions } from '../../src/index';

export interface FakeProcess extends Process {
  readonly exits: number[];
  /** Resolves with the first exit code. */
  readonly left: Promise<number>;
  readonly lines: Record<string, unknown>[];
  willEndWith: number | undefined;
  signal(signal: ExitSignal): void;
  crash(thrown: unknown): void;
  /** Advances time and runs the due timers. */
  pass(ms: number): Promise<void>;
}

export function fakeProcess(env: Record<string, string> = {}): FakeProcess {
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  const left = deferred<number>();
  let nowMs = 0;
  const clock: Clock = {
    now: () => nowMs,
    mono: () => nowMs,
    after(delayMs, run) {
      const timer = { atMs: nowMs + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
  };
  const heard: { signal?: (signal: ExitSignal) => void; crash?: (thrown: unknown) => void } = {};
  const proc: FakeProcess = {
    clock,
    env,
    cwd: '/nowhere',
    pid: 7,
    isTerminal: false,
    exits: [],
    left: left.promise,
    lines: [],
    willEndWith: undefined,
    write: (line) => void proc.lines.push(JSON.parse(line) as Record<string, unknown>),
    onSignal: (hear) => void (heard.signal = hear),
    onCrash: (hear) => void (heard.crash = hear),
    exit(code) {
      proc.exits.push(code);
      left.resolve(code);
    },
    endWith: (code) => void (proc.willEndWith = code),
    signal: (signal) => heard.signal?.(signal),
    crash: (thrown) => heard.crash?.(thrown),
    async pass(ms) {
      nowMs += ms;
      for (const timer of timers) if (timer.atMs <= nowMs && timers.delete(timer)) timer.run();
      await turn();
    },
  };
  return proc;
}

export interface FakeBus {
  readonly open: (options: OpenOptions) => Promise<Bus>;
  /** The calls to it, in order. */
  readonly done: string[];
  readonly opened: OpenOptions[];
  /** Resolves when it is being closed. */
  readonly leaving: Promise<void>;
  /** Closing waits until the test resolves this. */
  readonly closing: Deferred<void>;
}

/** A bus that records the calls to it. It has only the methods that a host calls. */
export function fakeBus(done: string[] = []): FakeBus {
  const closing = deferred<void>();
  const leaving = deferred<void>();
  const opened: OpenOptions[] = [];
  const bus = {
    self: { module: 'desk', instance: 'desk#0001' },
    async serve(_contract: unknown, handlers: object, options: object) {
      done.push(`serve ${handlers.constructor.name} ${JSON.stringify(options)}`);
    },
    async close() {
      done.push('bus closing');
      leaving.resolve();
      await closing.promise;
      done.push('bus closed');
    },
    watch: () => () => undefined,
    health: () => ({ live: true, ready: true, reasons: [] }),
  };
  async function open(options: OpenOptions): Promise<Bus> {
    opened.push(options);
    return bus as unknown as Bus;
  }
  return { open, done, opened, closing, leaving: leaving.promise };
}
