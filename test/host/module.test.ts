import 'reflect-metadata'; // before tsyringe, as an application has it that imports busbar/host first
import { container, inject, injectable, singleton } from 'tsyringe';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { BUS, knownModule, makeModule, SystemModule, type AnyClass } from '../../src/host/module';
import type { Bus } from '../../src/index';

const desk = defineModule('desk', { ask: request(unchecked<string>(), unchecked<string>()) });
// Nothing is called on it: only that it arrives counts.
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

test('with needs the constructor gets them in their order', () => {
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

test('without needs the container reads the metadata of the constructor', () => {
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

test('a class that takes nothing needs nothing', () => {
  @SystemModule(desk)
  class Desk extends Answers {}
  expect(makeModule(Desk, bus).handlers).toBeInstanceOf(Desk);
});

test('things are looked up in the container given, and the bus is put into neither it nor the common one', () => {
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

test('a constructor without metadata and without needs is refused with the way out', () => {
  // As esbuild and tsx compile it: parameters, but nothing that says what they are.
  class Plain extends Answers {
    constructor(readonly drawer: Drawer) {
      super();
    }
  }
  SystemModule(desk)(Plain);
  expect(() => makeModule(Plain, bus)).toThrow(/^Plain cannot be made: .*; name what it takes: .*needs/s);
});

test('an interface without a token is refused with the way out', () => {
  @SystemModule(desk)
  class Desk extends Answers {
    constructor(readonly bus: Bus) {
      super();
    }
  }
  expect(() => makeModule(Desk, bus)).toThrow(/^Desk cannot be made: .*needs: \[Store, BUS\]/s);
});

test('what a constructor of the application throws comes out as it is', () => {
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

test('a class without the decorator is refused by its name', () => {
  class Nobody {}
  expect(() => knownModule(Nobody)).toThrow('Nobody is not a module: put @SystemModule(contract) before the class');
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

test('works as a standard decorator, which passes a context', () => {
  class Desk extends Answers {}
  const context = { kind: 'class', name: 'Desk', metadata: {}, addInitializer: () => undefined } as const;
  expect(SystemModule(desk, { needs: [] })(Desk, context)).toBeUndefined();
  expect(makeModule(Desk, bus).handlers).toBeInstanceOf(Desk);
});
