import 'reflect-metadata'; // before tsyringe, as an application has it that imports busbar/host first
import { container, inject, injectable, singleton } from 'tsyringe';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { BUS, knownModule, makeModule, SystemModule, type AnyClass } from '../../src/host/module';
import type { Bus } from '../../src/index';

const desk = defineModule('desk', { ask: request(unchecked<string>(), unchecked<string>()) });
// No method of it is called: only its identity is checked.
const bus = { self: { module: 'desk', instance: 'desk#0001' } } as unknown as Bus;

class Paper {}
@injectable()
class Drawer {
  constructor(readonly paper: Paper) {}
}
@singleton()
class Lamp {}
class Answers {
  ask(question: string) {
    return question;
  }
}

test('the constructor gets the needs in their order', () => {
  @SystemModule(desk, { needs: [Drawer, BUS] })
  class Desk extends Answers {
    constructor(
      readonly drawer: Drawer,
      readonly bus: Bus,
    ) {
      super();
    }
  }
  const { handlers, needed } = makeModule(Desk, bus);
  expect(handlers).toBeInstanceOf(Desk);
  expect(handlers).toMatchObject({ drawer: { paper: {} }, bus });
  expect(needed).toEqual([expect.any(Drawer)]);
});

test('without needs, the container reads the metadata of the constructor', () => {
  @SystemModule(desk)
  class Desk extends Answers {
    constructor(
      readonly drawer: Drawer,
      @inject(BUS) readonly bus: Bus,
      readonly lamp: Lamp,
    ) {
      super();
    }
  }
  const { handlers, needed } = makeModule(Desk, bus);
  expect(handlers).toMatchObject({ drawer: expect.any(Drawer), bus, lamp: container.resolve(Lamp) });
  expect(needed).toEqual([(handlers as Desk).drawer, (handlers as Desk).lamp]);
});

test('a class without constructor parameters needs no metadata', () => {
  @SystemModule(desk)
  class Desk extends Answers {}
  expect(makeModule(Desk, bus).handlers).toBeInstanceOf(Desk);
});

test('needs are resolved from the given container, and the bus is registered in no container', () => {
  @SystemModule(desk, { needs: [Paper, BUS] })
  class Desk extends Answers {
    constructor(
      readonly paper: Paper,
      readonly bus: Bus,
    ) {
      super();
    }
  }
  const mine = container.createChildContainer();
  const paper = new Paper();
  mine.registerInstance(Paper, paper);
  expect(makeModule(Desk, bus, mine).needed).toEqual([paper]);
  expect(mine.isRegistered(BUS)).toBe(false);
  expect(container.isRegistered(BUS, true)).toBe(false);
});

test('a constructor without metadata and without needs is rejected with a remedy', () => {
  // Compiled like by esbuild and tsx: parameters without their types.
  class Plain extends Answers {
    constructor(readonly drawer: Drawer) {
      super();
    }
  }
  SystemModule(desk)(Plain);
  expect(() => makeModule(Plain, bus)).toThrow(/^Plain cannot be created: .*; name its dependencies: .*needs/s);
});

test('an interface without a token is rejected with a remedy', () => {
  @SystemModule(desk)
  class Desk extends Answers {
    constructor(readonly bus: Bus) {
      super();
    }
  }
  expect(() => makeModule(Desk, bus)).toThrow(/^Desk cannot be created: .*needs: \[Store, BUS\]/s);
});

test('an error of a constructor of the application is thrown unchanged', () => {
  class Broken {
    constructor() {
      throw new RangeError('no room');
    }
  }
  @SystemModule(desk, { needs: [Broken] })
  class Desk extends Answers {
    constructor(readonly broken: Broken) {
      super();
    }
  }
  expect(() => makeModule(Desk, bus)).toThrow(new RangeError('no room'));
});

test('a class without the decorator is rejected by its name', () => {
  class Nobody {}
  expect(() => knownModule(Nobody)).toThrow('Nobody is not a module. Put @SystemModule(contract) before the class');
});

test('the options of serve are kept, without needs', () => {
  @SystemModule(desk, { needs: [], concurrency: 3, perSecond: { ask: 10 } })
  class Desk extends Answers {}
  const target: AnyClass = Desk;
  expect(knownModule(target)).toEqual({
    contract: desk,
    options: { concurrency: 3, perSecond: { ask: 10 } },
    needs: [],
  });
});

test('SystemModule works as a standard decorator, which passes a context', () => {
  class Desk extends Answers {}
  const context = { kind: 'class', name: 'Desk', metadata: {}, addInitializer: () => undefined } as const;
  expect(SystemModule(desk, { needs: [] })(Desk, context)).toBeUndefined();
  expect(makeModule(Desk, bus).handlers).toBeInstanceOf(Desk);
});
