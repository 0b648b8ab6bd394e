import fs, { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { busCodes, type BusCode } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { randomHex, systemClock, systemRandom } from '../../src/base/clock';
import { openEmbedded } from '../../src/embedded/open';
import { defineModule, isBusError, openBus, request } from '../../src/index';
import { shop } from './contract';
import { openScene, type Scene } from './processes';

let scene: Scene;
beforeEach(() => (scene = openScene()));
afterEach(() => scene.close());
jest.setTimeout(240_000);

/** A cause of each code between processes; codes of the other transports are listed separately. */
const provoke: { readonly [C in BusCode]?: () => Promise<unknown> } = {
  async Invalid() {
    const bus = await scene.open('web');
    return bus.request(shop.twice, { n: 'two' } as never);
  },
  async TooLarge() {
    const bus = await scene.open('web');
    return bus.submit(shop.pack, { order: 'x'.repeat(1_000_001), n: 1 });
  },
  async NoHandler() {
    const bus = await scene.open('web');
    return bus.request(shop.who);
  },
  async ResponderLost() {
    await scene.start();
    const bus = await scene.open('web');
    return bus.request(shop.die);
  },
  async Timeout() {
    await scene.start();
    const bus = await scene.open('web');
    return bus.request(shop.slow, { ms: 5_000 }, { timeoutMs: 100 });
  },
  async Overloaded() {
    await scene.start();
    const bus = await scene.open('web');
    const stop = new AbortController();
    const all = Array.from({ length: 10_020 }, () => bus.request(shop.hang, { file: 'x' }, { signal: stop.signal }));
    const first = await Promise.race(all.map((one) => one.catch((error: unknown) => error)));
    stop.abort();
    await Promise.allSettled(all);
    throw first;
  },
  async Cancelled() {
    await scene.start();
    const bus = await scene.open('web');
    return bus.request(shop.slow, { ms: 5_000 }, { signal: AbortSignal.timeout(50) });
  },
  async HandlerFailed() {
    const bus = await scene.open('web');
    const ill = defineModule('ill', { ask: request(z.void(), z.void()) });
    await bus.serve(ill, {
      ask: () => {
        throw new Error('ill');
      },
    });
    return bus.request(ill.ask);
  },
  async Unreachable() {
    const { kill, ended, ...ports } = await deadAddress();
    kill('SIGKILL');
    await ended;
    return ports.send();
  },
  async DiskFull() {
    const bus = await scene.open('web');
    const disk = fs.statfsSync(scene.dir);
    const asked = jest.spyOn(fs, 'statfsSync').mockReturnValue(Object.assign(disk, { bavail: 0 }));
    try {
      return await bus.submit(shop.pack, { order: 'a', n: 1 });
    } finally {
      asked.mockRestore();
    }
  },
  async StoreBroken() {
    const bus = await scene.open('web');
    await bus.submit(shop.pack, { order: 'a', n: 1 });
    rmSync(join(scene.dir, 'bus', 'log', 'data.mdb'));
    return bus.submit(shop.pack, { order: 'b', n: 2 });
  },
  async Closed() {
    const bus = await scene.open('web');
    await bus.close();
    return bus.request(shop.who);
  },
  async Incompatible() {
    await scene.start();
    const bus = await scene.open('web');
    const newer = defineModule('shop', { gift: request(z.void(), z.void()) });
    return bus.request(newer.gift);
  },
  async Conflict() {
    const embedded = await open();
    try {
      await embedded.settings.set('shop.pack.concurrency', '4', 0);
      return await embedded.settings.set('shop.pack.concurrency', '5', 0);
    } finally {
      await embedded.close();
    }
  },
  async Config() {
    const file = join(scene.dir, 'a-file');
    writeFileSync(file, 'not a directory');
    return openBus({ module: 'web', dir: file });
  },
};
/** Codes that the embedded transport does not return. */
const later: readonly BusCode[] = ['NotAllowed', 'SpoolFull', 'SpoolBroken'];

function open() {
  const name = `web#${randomHex(systemRandom, 24)}`;
  return openEmbedded({
    dir: join(scene.dir, 'bus'),
    ns: 'test',
    name,
    clock: systemClock,
    random: systemRandom,
    notices: openNotices(),
  });
}
async function deadAddress() {
  const { instance, kill, ended } = await scene.start();
  const embedded = await open();
  const address = (await embedded.registry.all()).find(({ name }) => name === instance)?.address ?? '';
  const send = async (): Promise<void> => {
    try {
      // The first packet can still find the socket; its loss is reported, and the next send throws.
      const told = new Promise<void>((resolve) => embedded.messenger.receive({ packet() {}, left: () => resolve() }));
      embedded.messenger.send(address, { line: 'x', body: new Uint8Array(0) });
      await told;
      embedded.messenger.send(address, { line: 'x', body: new Uint8Array(0) });
    } finally {
      await embedded.close();
    }
  };
  return { kill, ended, send };
}

test.each(Object.entries(provoke))('%s is returned for its cause, with a remedy', async (code, make) => {
  const error = await make().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: 'BusError', code });
  if (isBusError(error)) expect(error.remedy.length).toBeGreaterThan(10);
});

test('every code is provoked here or belongs to another transport', () => {
  expect([...Object.keys(provoke), ...later].toSorted()).toEqual(Object.keys(busCodes).toSorted());
});
