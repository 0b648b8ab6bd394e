import { setImmediate as turn } from 'node:timers/promises';
import { BusError } from '../../src/base/errors';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { exitCodes } from '../../src/host/exit';
import { BUS, SystemModule } from '../../src/host/module';
import { run } from '../../src/host/run';
import type { Bus, OpenOptions } from '../../src/index';
import { fakeBus, fakeProcess, type FakeProcess } from '../support/fake-process';

const desk = defineModule('desk', { ask: request(unchecked<string>(), unchecked<string>()) });
const done: string[] = [];
beforeEach(() => void (done.length = 0));

class Drawer {
  [Symbol.dispose]() {
    done.push('drawer away');
  }
}
class Lamp {
  async [Symbol.asyncDispose]() {
    await turn();
    done.push('lamp away');
  }
}
@SystemModule(desk, { needs: [Lamp, Drawer, BUS], concurrency: { ask: 3 } })
class Desk {
  constructor(
    readonly lamp: Lamp,
    readonly drawer: Drawer,
    readonly bus: Bus,
  ) {}
  open() {
    done.push(`open ${this.bus.self.instance}`);
  }
  async close() {
    await turn();
    done.push('close');
  }
  ask(question: string) {
    return question;
  }
  [Symbol.dispose]() {
    done.push('desk away');
  }
}

const messages = (proc: FakeProcess) => proc.lines.map(({ level, msg }) => `${String(level)} ${String(msg)}`);

test('run opens the bus, calls open(), then serves with the options of the decorator', async () => {
  const bus = fakeBus(done);
  const proc = fakeProcess();
  await run(Desk, { open: bus.open, drainMs: '3s', healthPort: 0, logLevel: 'warn' }, proc);
  const given = { onNotice: expect.any(Function), log: false, health: false, signal: expect.any(AbortSignal) };
  expect(bus.opened).toEqual([{ module: desk, drainMs: '3s', healthPort: 0, logLevel: 'warn', ...given }]);
  expect(done).toEqual(['open desk#0001', 'serve Desk {"concurrency":{"ask":3}}']);
  proc.signal('SIGTERM');
  bus.closing.resolve();
  expect(await proc.left).toBe(exitCodes.left);
});

test('log lines have module, instance and pid as soon as each is known', async () => {
  const bus = fakeBus();
  const proc = fakeProcess();
  const open: typeof bus.open = (options) => {
    options.onNotice?.({ type: 'state', part: 'registry', ok: false, reason: 'no answer' });
    return bus.open(options);
  };
  await run(Desk, { open }, proc);
  expect(proc.lines).toMatchObject([
    { level: 'warn', module: 'desk', pid: 7, msg: 'registry does not work: no answer' },
    { level: 'info', module: 'desk', pid: 7, instance: 'desk#0001', msg: 'serves desk after 0 ms' },
  ]);
  expect(proc.lines[0]).not.toHaveProperty('instance');
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s closes the class, the bus and its dependencies, newest first, and exits with 0',
  async (signal) => {
    const bus = fakeBus(done);
    const proc = fakeProcess();
    await run(Desk, { open: bus.open }, proc);
    done.length = 0;
    proc.signal(signal);
    await bus.leaving;
    await proc.pass(200);
    expect(done).toEqual(['close', 'bus closing']);
    expect(proc.exits).toEqual([]);
    bus.closing.resolve();
    await proc.left;
    expect(done).toEqual(['close', 'bus closing', 'bus closed', 'desk away', 'drawer away', 'lamp away']);
    expect(proc.exits).toEqual([exitCodes.left]);
    expect(messages(proc).slice(-2)).toEqual([`info ${signal} received: leaves`, 'info left after 200 ms']);
  },
);

test('a signal ends a start that waits for servers, and the process exits with 0', async () => {
  const proc = fakeProcess();
  const open = ({ signal }: OpenOptions) =>
    new Promise<Bus>((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(new BusError('Cancelled', 'aborted', { reason: signal.reason })));
    });
  const running = run(Desk, { open, waitForServersMs: '1h' }, proc);
  await turn(); // the bus is being opened
  proc.signal('SIGTERM');
  await running;
  expect(proc.exits).toEqual([exitCodes.left]);
  expect(messages(proc)).toEqual(['info SIGTERM received: leaves', 'info left before the servers responded']);
});

test('a start that is cancelled by its own module is a failure', async () => {
  const proc = fakeProcess();
  const open = () => Promise.reject(new BusError('Cancelled', 'aborted', { reason: undefined }));
  await run(Desk, { open }, proc);
  expect(proc.exits).toEqual([exitCodes.failed]);
});

test('a second signal ends the process at once with the code of that signal', async () => {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const bus = fakeBus();
    const proc = fakeProcess();
    await run(Desk, { open: bus.open }, proc);
    proc.signal('SIGTERM');
    await bus.leaving;
    await proc.pass(100);
    proc.signal(signal);
    expect(proc.exits).toEqual([code]);
  }
});

test('a signal that arrives twice within 100 ms, as process managers forward it, counts once', async () => {
  const bus = fakeBus();
  const proc = fakeProcess();
  await run(Desk, { open: bus.open }, proc);
  proc.signal('SIGINT');
  await bus.leaving;
  await proc.pass(99);
  proc.signal('SIGINT');
  expect(proc.exits).toEqual([]);
});

test('a drain that lasts a second longer than drainMs is aborted with code 75', async () => {
  const bus = fakeBus();
  const proc = fakeProcess();
  await run(Desk, { open: bus.open, drainMs: 2_000 }, proc);
  proc.signal('SIGTERM');
  await bus.leaving;
  await proc.pass(2_999);
  expect(proc.exits).toEqual([]);
  await proc.pass(1);
  expect(proc.exits).toEqual([exitCodes.late]);
  expect(messages(proc).at(-1)).toBe('error has not left within 3000 ms (drainMs and 1000): exits now');
});

test('a drain that took all of drainMs exits with 75, because work was unfinished', async () => {
  const bus = fakeBus();
  const proc = fakeProcess();
  await run(Desk, { open: bus.open, drainMs: 2_000 }, proc);
  proc.signal('SIGTERM');
  await bus.leaving;
  await proc.pass(2_000);
  bus.closing.resolve();
  expect(await proc.left).toBe(exitCodes.late);
});

test('a process that ends by itself during a shutdown exits with 75', async () => {
  const bus = fakeBus();
  const proc = fakeProcess();
  await run(Desk, { open: bus.open }, proc);
  expect(proc.willEndWith).toBeUndefined();
  proc.signal('SIGTERM');
  await bus.leaving;
  expect(proc.willEndWith).toBe(exitCodes.late);
});

test('a signal during the start lets the start finish, then shuts down', async () => {
  const bus = fakeBus(done);
  const proc = fakeProcess();
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  const running = run(Desk, { open: async (options) => (await gate, bus.open(options)) }, proc);
  proc.signal('SIGTERM');
  await turn();
  expect(done).toEqual([]);
  go();
  bus.closing.resolve();
  await running;
  expect(await proc.left).toBe(exitCodes.left);
  expect(done).toContain('bus closed');
});

const startErrors: readonly [string, unknown, number][] = [
  [
    'Config',
    new BusError('Config', 'dir is not ours', { faults: ['dir is not ours'] }, undefined, 'Set dir.'),
    exitCodes.config,
  ],
  [
    'Unreachable',
    new BusError('Unreachable', 'no server', { outcome: 'not-sent', waitedMs: 5 }),
    exitCodes.unreachable,
  ],
  ['any other error', new Error('out of luck'), exitCodes.failed],
];
test.each(startErrors)(
  'a start that fails with %s logs the error and exits with its own code',
  async (_name, error, code) => {
    const proc = fakeProcess();
    await run(Desk, { open: () => Promise.reject(error) }, proc);
    expect(proc.exits).toEqual([code]);
    expect(proc.lines.at(-1)).toMatchObject({ level: 'fatal', msg: `cannot start: ${(error as Error).message}` });
  },
);

test('a signal during a failing start does not change its exit code', async () => {
  const proc = fakeProcess();
  const running = run(Desk, { open: async () => (await turn(), Promise.reject(new Error('late'))) }, proc);
  proc.signal('SIGTERM');
  await running;
  await turn();
  expect(proc.exits).toEqual([exitCodes.failed]);
});

test('wrong options of code and variables stop the start, all named at once', async () => {
  const bus = fakeBus();
  const proc = fakeProcess({ BUSBAR_DRAINMS: '5', BUSBAR_HEALTH_PORT: '70000' });
  await run(Desk, { open: bus.open, workConcurrency: 0 }, proc);
  expect(proc.exits).toEqual([exitCodes.config]);
  expect(proc.lines.at(-1)?.['msg']).toMatch(
    /3 faults:\n.*BUSBAR_DRAIN_MS\?\n.*65535.*\n.*workConcurrency = 0 \(runModule\)/,
  );
  expect(bus.opened).toEqual([]);
});

test('configuration errors are logged in the configured format, without a stack', async () => {
  const lines: string[] = [];
  const proc = fakeProcess({ BUSBAR_LOG_FORMAT: 'text', BUSBAR_TRANSPORT: 'kfka', BUSBAR_LOG_LEVEL: 'loud' });
  await run(Desk, { open: fakeBus().open }, { ...proc, write: (line) => void lines.push(line) });
  expect(proc.exits).toEqual([exitCodes.config]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\S+ +fatal +desk +cannot start: configuration: 2 faults:.*did you mean kafka\?.*\n$/);
});

test('a variable sets the log level', async () => {
  const proc = fakeProcess({ BUSBAR_LOG_LEVEL: 'error' });
  await run(Desk, { open: fakeBus().open }, proc);
  expect(proc.lines).toEqual([]);
});

test('an error of open() ends the start before the module is served', async () => {
  @SystemModule(desk, { needs: [] })
  class Broken {
    async open() {
      throw new Error('no paper');
    }
    ask = (question: string) => question;
  }
  const bus = fakeBus(done);
  const proc = fakeProcess();
  await run(Broken, { open: bus.open }, proc);
  expect(done).toEqual([]);
  expect(proc.exits).toEqual([exitCodes.failed]);
});

test('a close() that throws is logged, and the rest is closed before a nonzero exit', async () => {
  @SystemModule(desk, { needs: [Drawer] })
  class Stubborn {
    constructor(readonly drawer: Drawer) {}
    close() {
      throw new Error('stuck');
    }
    ask = (question: string) => question;
  }
  const bus = fakeBus(done);
  bus.closing.resolve();
  const proc = fakeProcess();
  await run(Stubborn, { open: bus.open }, proc);
  proc.signal('SIGTERM');
  expect(await proc.left).toBe(exitCodes.failed);
  expect(done.slice(1)).toEqual(['bus closing', 'bus closed', 'drawer away']);
  expect(messages(proc)).toContain('error close() of desk failed while leaving: stuck');
});

test('an uncaught error ends the process at once with 70, after a last log line', async () => {
  const bus = fakeBus(done);
  const proc = fakeProcess();
  await run(Desk, { open: bus.open }, proc);
  proc.crash(new TypeError('nobody expects'));
  expect(proc.exits).toEqual([exitCodes.crashed]);
  expect(proc.lines.at(-1)).toMatchObject({
    level: 'fatal',
    msg: 'crashed: nobody expects',
    err: { type: 'TypeError' },
  });
  expect(done).not.toContain('bus closing');
});

test('the setting logLevel changes the level, and removing it restores that of runModule', async () => {
  const bus = fakeBus();
  const proc = fakeProcess();
  await run(Desk, { open: bus.open, logLevel: 'warn' }, proc);
  const hear = bus.opened[0]?.onNotice;
  const say = (message: string) => hear?.({ type: 'log', level: 'info', message, fields: {} });
  say('quiet');
  hear?.({ type: 'setting', key: 'logLevel', change: 'applied', value: 'info' });
  say('loud');
  // The level from files and variables: the bus does not know the one of runModule.
  hear?.({ type: 'setting', key: 'logLevel', change: 'removed', value: 'info' });
  say('quiet again');
  expect(messages(proc)).toEqual(['info setting logLevel applied: info', 'info loud']);
  hear?.({ type: 'setting', key: 'logLevel', change: 'applied', value: 'info' });
  proc.signal('SIGTERM');
  bus.closing.resolve();
  await proc.left;
  expect(messages(proc).slice(3).length).toBeGreaterThan(0); // the lines of the shutdown
});
