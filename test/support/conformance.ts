/** The interface of a conformance suite to an implementation: processes that can die, and waits in its time. */
import { randomBytes } from 'node:crypto';
import type { Log } from '../../src/ports/log';
import type { Messenger } from '../../src/ports/messenger';
import type { Instance, Registry } from '../../src/ports/registry';
import type { Settings } from '../../src/ports/settings';

/** The ports of one process, or of a simulated one. */
export interface TestProcess {
  readonly log: Log;
  readonly messenger: Messenger;
  readonly registry: Registry;
  readonly settings: Settings;
  /** Like kill -9: nothing is released and no peer is notified. The ports of the process must not be used afterwards. */
  crash(): Promise<void>;
  /** Like SIGSTOP for longer than `sessionMs`; resolves after that, with a function that continues the process. */
  pause?(): Promise<() => void>;
}

export interface TestPorts {
  process(): Promise<TestProcess>;
  /**
   * Resolves once `condition` holds; rejects with `what` when it does not within `withinMs`, in the time of this
   * implementation. Checks again whenever its state can have changed.
   */
  wait(condition: () => boolean | Promise<boolean>, withinMs: number, what: string): Promise<void>;
  /** Session of the members of groups in ms. */
  readonly sessionMs: number;
  /** Longest time for anything that happens by itself: detecting a death, moving a partition, delivering a packet. */
  readonly patienceMs: number;
  /** Records are stored outside of this process, so that its memory shows whether a reader is bounded. */
  readonly recordsOutside: boolean;
  /** Closes everything; called once, after all tests. */
  close(): Promise<void>;
}

export interface SuiteOptions {
  /** Longest time that one test may take in ms; default 60,000. */
  readonly testMs?: number;
  /** The processes can be paused: also runs the tests that need it. */
  readonly pauses?: boolean;
  /** Compaction happens at an unknown time: omits the tests that need it within the time limit. */
  readonly compactsLater?: boolean;
}

/** Runs `body` as a suite on one implementation; processes that a test opened are closed after it. */
export function suite(
  title: string,
  openPorts: () => Promise<TestPorts>,
  options: SuiteOptions,
  body: (run: SuiteRun) => void,
): void {
  describe(title, () => {
    const run = new SuiteRun(openPorts);
    const testMs = options.testMs ?? 60_000;
    beforeAll(() => run.open(), testMs);
    afterEach(() => run.clear(), testMs);
    afterAll(() => run.close(), testMs);
    body(run);
  });
}

/** The ports of a running suite, and the processes that its tests have opened. */
export class SuiteRun {
  #ports: TestPorts | undefined;
  #processes: TestProcess[] = [];
  /** Distinguishes names when several suites use one cluster. */
  readonly #run = randomBytes(4).toString('hex');
  #names = 0;

  constructor(private readonly openPorts: () => Promise<TestPorts>) {}

  async open(): Promise<void> {
    this.#ports = await this.openPorts();
  }
  get ports(): TestPorts {
    if (!this.#ports) throw new Error('the ports are not open yet');
    return this.#ports;
  }
  /** Returns a name that no other test uses. */
  name(what: string): string {
    return `${what}-${this.#run}-${++this.#names}`;
  }

  async process(): Promise<TestProcess> {
    const opened = await this.ports.process();
    const one: TestProcess = {
      ...opened,
      crash: async () => {
        this.#processes = this.#processes.filter((other) => other !== one);
        await opened.crash();
      },
    };
    this.#processes.push(one);
    return one;
  }
  processes(count: number): Promise<TestProcess[]> {
    return Promise.all(Array.from({ length: count }, () => this.process()));
  }

  /** Waits for up to `patienceMs` of the ports. */
  wait(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    return this.ports.wait(condition, this.ports.patienceMs, what);
  }

  async clear(): Promise<void> {
    const closing = this.#processes.splice(0);
    await Promise.all(
      closing.map(async ({ registry, settings, log, messenger }) => {
        await registry.close();
        await log.close();
        await Promise.all([settings.close(), messenger.close()]);
      }),
    );
  }
  async close(): Promise<void> {
    await this.#ports?.close();
  }
}

/** Returns an announcement of the instance. */
export function instanceOf(one: TestProcess, name: string, module: string, more: Partial<Instance> = {}): Instance {
  return {
    name,
    module,
    address: one.messenger.address,
    incarnation: `${name}.1`,
    host: 'here',
    pid: process.pid,
    sinceMs: 1,
    version: '1.0.0',
    serves: { [module]: 'fingerprint' },
    leaving: false,
    ...more,
  };
}

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (value: Uint8Array | null): string | null => value && Buffer.from(value).toString();

/** Returns the error that `promise` rejects with; fails the test when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`should have been refused, but resolved with ${JSON.stringify(value)}`);
}
