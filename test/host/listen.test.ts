import { compileFunction } from 'node:vm';
import { transformSync, type Options } from '@swc/core';
import { defineModule, event, request, unchecked } from '../../src/contract/contract';
import type { Body } from '../../src/contract/types';
import * as host from '../../src/host';
import { Listen, serveModule, SystemModule } from '../../src/host';
import type { AnyClass } from '../../src/host/module';
import type { Bus, Context, Served } from '../../src/index';
import { testBus, type TestBus } from '../../src/testing';

const desk = defineModule('desk', { ask: request(unchecked<string>(), unchecked<string>()) });
const mail = defineModule('mail', {
  sent: event(unchecked<{ n: number }>()),
  read: event(unchecked<{ n: number }>()),
  look: request(unchecked<string>(), unchecked<string>()),
});
type Sent = Body<typeof mail.sent>;

@SystemModule(desk)
class Desk {
  readonly heard: string[] = [];
  ask(question: string) {
    return question;
  }
  @Listen(mail.sent, { as: 'index' })
  async index({ n }: Sent, { attempt }: Context) {
    await Promise.resolve();
    this.heard.push(`index ${n} attempt ${attempt}`);
  }
  @Listen(mail.sent)
  @Listen(mail.read)
  note({ n }: Sent, { entry }: Context & { entry?: string }) {
    this.heard.push(`note ${n}${entry ?? ''}`);
  }
}

test('methods with @Listen handle events, named or plain, with the instance as this', async () => {
  const bus = testBus(desk);
  const instance = new Desk();
  await serveModule(bus, instance);
  await bus.as('mail').publish(mail.sent, { n: 1 });
  await bus.as('mail').publish(mail.read, { n: 2 });
  await bus.settled();
  expect(instance.heard.toSorted()).toEqual(['index 1 attempt 1', 'note 1', 'note 2']);
  expect(await bus.as('web').request(desk.ask, 'x')).toBe('x');
});

test('a module serves before its listeners are ready, and listeners handle no event before', async () => {
  const bus = testBus(desk);
  const order: string[] = [];
  let ready = (): void => undefined;
  const joined = new Promise<void>((resolve) => (ready = resolve));
  // The group has to wait for an instance that was killed.
  const slow: Bus = {
    ...bus,
    serve: async (...how: Parameters<Bus['serve']>) => {
      await bus.clock.advance(10); // the groups exist now, although no partition is ready
      await bus.as('mail').publish(mail.sent, { n: 1 });
      await bus.clock.advance(10);
      const served = await bus.serve(...how);
      order.push('serves');
      return served;
    },
    listen: async (...how: readonly unknown[]) => {
      const listening = await (bus.listen as (...all: readonly unknown[]) => Promise<Served>)(...how);
      order.push('listens');
      await joined;
      return listening;
    },
  } as Bus;
  const instance = new Desk();
  instance.index = async ({ n }) => void order.push(`index ${n}`);
  const serving = serveModule(slow, instance).then(() => order.push('ready'));
  await bus.settled();
  expect(await bus.as('web').request(desk.ask, 'x')).toBe('x');
  ready();
  await serving;
  await bus.settled();
  expect(order).toEqual(['listens', 'listens', 'listens', 'serves', 'index 1', 'ready']);
});

test('a subclass can override a listener and add others', async () => {
  @SystemModule(desk)
  class Other extends Desk {
    override async index({ n }: Sent) {
      this.heard.push(`overridden ${n}`);
    }
    @Listen(mail.read, { as: 'more' })
    more({ n }: Sent) {
      this.heard.push(`more ${n}`);
    }
  }
  const bus = testBus(desk);
  const instance = new Other();
  await serveModule(bus, instance);
  await bus.as('mail').publishAll(mail.sent, [{ n: 1 }]);
  await bus.as('mail').publishAll(mail.read, [{ n: 2 }]);
  await bus.settled();
  expect(instance.heard.toSorted()).toEqual(['more 2', 'note 1', 'note 2', 'overridden 1']);
});

test('closing a served module also closes its listeners', async () => {
  const bus = testBus(desk);
  const instance = new Desk();
  const served = await serveModule(bus, instance);
  await served.close();
  await bus.as('mail').publish(mail.sent, { n: 1 });
  await bus.settled();
  expect(instance.heard).toEqual([]);
  await serveModule(bus, instance); // it can be served again
  await bus.settled();
  expect(instance.heard).toEqual(['index 1 attempt 1']);
});

test('a listener that cannot be started rejects the start, which leaves nothing served', async () => {
  const bus = testBus(desk);
  const before = await bus.listen(mail.sent, { as: 'index' }, () => undefined);
  await expect(serveModule(bus, new Desk())).rejects.toMatchObject({ code: 'Config' });
  expect(await bus.as('web').tryRequest(desk.ask, 'x')).toMatchObject({ ok: false, error: { code: 'NoHandler' } });
  await before.close();
  await serveModule(bus, new Desk());
});

/** Serves a module whose `serve` fails after its listeners have received an event. Returns how long closing took. */
async function failToServe(bus: TestBus, instance: object): Promise<number> {
  let fail = (): void => undefined;
  const serve = () => new Promise((_, reject) => (fail = () => reject(new Error('cannot be announced'))));
  const seen = { ended: '' };
  const starting = serveModule({ ...bus, serve } as Bus, instance);
  starting.catch((error: Error) => (seen.ended = error.message));
  await bus.clock.advance(500);
  await bus.as('mail').publish(mail.sent, { n: 1 });
  await bus.clock.advance(500);
  const startMs = bus.clock.now();
  fail();
  while (seen.ended === '') await bus.clock.advance(100);
  expect(seen.ended).toBe('cannot be announced');
  return bus.clock.now() - startMs;
}

test('when a module cannot be served, its listeners close at once although events have arrived', async () => {
  const bus = testBus(desk);
  const instance = new Desk();
  expect(await failToServe(bus, instance)).toBeLessThan(1_000);
  await bus.clock.advance(60_000);
  expect(instance.heard).toEqual([]);
});

test('failed starts use up no attempt of an event of a named listener, and count as no failure', async () => {
  const bus = testBus(desk);
  const outcomes: string[] = [];
  bus.watch((notice) => notice.type === 'handled' && outcomes.push(`${notice.entry} ${notice.outcome}`));
  for (let n = 0; n < 10; n++) await failToServe(bus, new Desk());
  expect(bus.parked(mail.sent)).toEqual([]);
  expect(outcomes).toEqual([]); // no handler was called
  const instance = new Desk();
  await serveModule(bus, instance);
  await bus.settled();
  expect(instance.heard).toEqual(Array(10).fill('index 1 attempt 1'));
});

test('an instance of a class without @SystemModule is rejected by its name', async () => {
  class Nobody {}
  await expect(serveModule(testBus(desk), new Nobody())).rejects.toThrow('Nobody is not a module');
});

const source = `
  import { Listen, SystemModule } from 'busbar/host';
  import { desk, mail } from './contract';
  @SystemModule(desk, { needs: [] })
  export class Desk {
    heard = [];
    ask(question: string) { return question; }
    @Listen(mail.sent, { as: 'index' })
    index({ n }) { this.heard.push('index ' + n); }
    @Listen(mail.sent)
    note({ n }) { this.heard.push('note ' + n); }
  }`;
type Decorators = NonNullable<NonNullable<Options['jsc']>['transform']>;
function compile(text: string, transform: Decorators): AnyClass {
  const { code } = transformSync(text, {
    jsc: { target: 'es2022', parser: { syntax: 'typescript', decorators: true }, transform },
    module: { type: 'commonjs' },
  });
  const modules: Record<string, unknown> = { 'busbar/host': host, './contract': { desk, mail } };
  const exported: { Desk?: AnyClass } = {};
  compileFunction(code, ['require', 'exports', 'Reflect'])((name: string) => modules[name], exported, Reflect);
  if (!exported.Desk) throw new Error('nothing came out');
  return exported.Desk;
}
const compilers: readonly [string, Decorators][] = [
  ['legacy decorators with metadata (tsc, swc)', { legacyDecorator: true, decoratorMetadata: true }],
  ['legacy decorators without metadata (tsx, esbuild)', { legacyDecorator: true, decoratorMetadata: false }],
  ['standard decorators', { decoratorVersion: '2022-03' }],
];
test.each(compilers)('%s: listeners are found', async (_name, transform) => {
  const instance = new (compile(source, transform))() as { readonly heard: readonly string[] };
  const bus = testBus(desk);
  await serveModule(bus, instance);
  await bus.as('mail').publish(mail.sent, { n: 7 });
  await bus.settled();
  expect(instance.heard.toSorted()).toEqual(['index 7', 'note 7']);
});

test.each(compilers)('%s: a static or a #private method is rejected', (name, transform) => {
  const bad = source.replace('    note({', '    static note({');
  expect(() => compile(bad, transform)).toThrow(/@Listen: the method 'note' is static/);
  if (!name.startsWith('standard')) return; // legacy decorators cannot decorate private methods
  const hidden = source.replace('    note({', '    #note({');
  expect(() => compile(hidden, transform)).toThrow(/@Listen: the method '#note' is private/);
});
