import 'reflect-metadata';
import { compileFunction } from 'node:vm';
import { transformSync, type Options } from '@swc/core';
import * as tsyringe from 'tsyringe';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import * as host from '../../src/host/module';
import type { Bus } from '../../src/index';

const desk = defineModule('desk', { ask: request(unchecked<string>(), unchecked<string>()) });
// No method of it is called: only its identity is checked.
const bus = { self: { module: 'desk', instance: 'desk#0001' } } as unknown as Bus;

type Decorators = NonNullable<NonNullable<Options['jsc']>['transform']>;
/** Compiles the class as one compiler does. */
function compile(source: string, transform: Decorators): host.AnyClass {
  const { code } = transformSync(source, {
    jsc: { target: 'es2022', parser: { syntax: 'typescript', decorators: true }, transform },
    module: { type: 'commonjs' },
  });
  const modules: Record<string, unknown> = { tsyringe, 'busbar/host': host, './contract': { desk } };
  const exported: { Desk?: host.AnyClass } = {};
  compileFunction(code, ['require', 'exports', 'Reflect'])((name: string) => modules[name], exported, Reflect);
  if (!exported.Desk) throw new Error('nothing came out');
  return exported.Desk;
}
const withNeeds = `
  import { BUS, SystemModule } from 'busbar/host';
  import { desk } from './contract';
  export class Drawer {}
  @SystemModule(desk, { needs: [Drawer, BUS] })
  export class Desk {
    constructor(readonly drawer: Drawer, readonly bus: unknown) {}
    ask(question: string) { return question; }
  }`;
const withMetadata = `
  import { inject } from 'tsyringe';
  import { BUS, SystemModule } from 'busbar/host';
  import { desk } from './contract';
  export class Drawer {}
  @SystemModule(desk)
  export class Desk {
    constructor(readonly drawer: Drawer, @inject(BUS) readonly bus: unknown) {}
    ask(question: string) { return question; }
  }`;

const compilers: readonly [string, string, Decorators][] = [
  ['legacy decorators with metadata (tsc, swc)', withMetadata, { legacyDecorator: true, decoratorMetadata: true }],
  ['legacy decorators with metadata and needs', withNeeds, { legacyDecorator: true, decoratorMetadata: true }],
  ['legacy decorators without metadata (tsx, esbuild)', withNeeds, { legacyDecorator: true, decoratorMetadata: false }],
  ['standard decorators', withNeeds, { decoratorVersion: '2022-03' }],
];
test.each(compilers)('%s: the class is created with its dependencies', (_name, source, transform) => {
  const Desk = compile(source, transform);
  const { handlers, needed } = host.makeModule(Desk, bus);
  expect(handlers).toMatchObject({ bus, drawer: needed[0] });
  expect(needed.map((one) => one?.constructor.name)).toEqual(['Drawer']);
  expect(host.knownModule(Desk).contract).toBe(desk);
});

test('without metadata a class is created when every parameter has a token', () => {
  const source = withMetadata.replace('readonly drawer', '@inject(Drawer) readonly drawer');
  const Desk = compile(source, { legacyDecorator: true, decoratorMetadata: false });
  expect(host.makeModule(Desk, bus).handlers).toMatchObject({ bus, drawer: expect.any(Object) });
});

test('without metadata and needs, creating the class throws with the code to write', () => {
  const Desk = compile(withMetadata, { legacyDecorator: true, decoratorMetadata: false });
  expect(() => host.makeModule(Desk, bus)).toThrow(/^Desk cannot be created: .*needs: \[Store, BUS\]/s);
});
