/** Valid and invalid module classes: compiled with legacy and with standard decorators, never run. */
import {
  handler,
  type Body,
  type Bus,
  type Context,
  type Handlers,
  type RequestContext,
  type WorkContext,
} from 'busbar';
import { BUS, Listen, runModule, SystemModule } from 'busbar/host';
import { shop } from './shop';

class Store {
  count = 0;
}
class Base {
  async order({ article, count }: Body<typeof shop.order>) {
    return { id: 'o1', article, count };
  }
  stock() {
    return 3;
  }
  search() {
    return [];
  }
  pack(_order: Body<typeof shop.pack>, _context: WorkContext) {}
}

// --- what compiles

@SystemModule(shop, { needs: [Store, BUS], concurrency: { pack: 4 }, perSecond: { order: 10 } })
class Methods extends Base implements Handlers<typeof shop> {
  constructor(
    readonly store: Store,
    readonly bus: Bus,
  ) {
    super();
  }
  closeTill({ till }: Body<typeof shop.closeTill>) {
    this.store.count = till;
  }
  /** A method that is not an entry. */
  extra() {}
}
@SystemModule(shop, { needs: [Store] })
class Properties {
  constructor(readonly store: Store) {}
  order = handler(shop.order, async ({ article, count }, { fail, id }) =>
    count > this.store.count ? fail('SoldOut', { left: this.store.count }) : { id, article, count },
  );
  stock = handler(shop.stock, () => this.store.count);
  search = handler(shop.search, () => []);
  pack = handler(shop.pack, ({ id }, { progress }) => progress(id));
  closeTill = handler(shop.closeTill, ({ till }) => void (this.store.count = till));
}
@SystemModule(shop)
class Hooked extends Base {
  async open() {}
  close() {}
  closeTill() {}
}
@SystemModule(shop)
class Injected extends Base {
  constructor(readonly store: Store) {
    super(); // the container resolves its dependencies
  }
  closeTill() {}
}
@SystemModule(shop)
class Listening extends Base {
  closeTill() {}
  @Listen(shop.sold, { as: 'ledger', attempts: 3 })
  async sold({ article }: Body<typeof shop.sold>, { attempt, park }: WorkContext) {
    if (attempt > 2) park(article);
  }
  @Listen(shop.sold)
  note(_sale: { id: string }, _context: Context) {}
  @Listen(shop.sold, { as: 'other' })
  less() {}
}
void runModule(Methods, { drainMs: '5s', healthPort: 9_000, logFormat: 'json' });

// --- what must not compile

// @ts-expect-error closeTill is missing
@SystemModule(shop)
class Missing extends Base {}

// @ts-expect-error misspelled, so missing
@SystemModule(shop)
class Misspelt extends Base {
  closeTil() {}
}

// @ts-expect-error it accepts less than the contract allows (methods are bivariant, the decorator is not)
@SystemModule(shop)
class Narrow extends Base {
  closeTill(_message: { till: 1 | 2 }) {}
}

// @ts-expect-error it takes something else
@SystemModule(shop)
class Wrong extends Base {
  closeTill(_message: { till: string }) {}
}

// @ts-expect-error it requires more than the body has
@SystemModule(shop)
class More extends Base {
  closeTill(_message: { till: number; floor: number }) {}
}

// @ts-expect-error a reply of another type
@SystemModule(shop)
class BadReply extends Base {
  override stock(): never {
    throw new Error();
  }
  override order = undefined as never;
  closeTill = 3;
}

// @ts-expect-error the reply lacks fields
@SystemModule(shop)
class ShortReply {
  async order() {
    return { id: 'o1' };
  }
  stock() {
    return 3;
  }
  search() {
    return [];
  }
  pack() {}
  closeTill() {}
}

// @ts-expect-error a private handler cannot be called
@SystemModule(shop)
class Hidden extends Base {
  private closeTill() {}
  extra() {
    this.closeTill();
  }
}

// @ts-expect-error the constructor takes other dependencies than `needs` lists
@SystemModule(shop, { needs: [Store] })
class OtherNeeds extends Base {
  constructor(readonly bus: Bus) {
    super();
  }
  closeTill() {}
}

// @ts-expect-error the constructor takes more dependencies than `needs` lists
@SystemModule(shop, { needs: [Store] })
class MoreNeeds extends Base {
  constructor(
    readonly store: Store,
    readonly bus: Bus,
  ) {
    super();
  }
  closeTill() {}
}

// @ts-expect-error the constructor takes them in another order than `needs` lists
@SystemModule(shop, { needs: [BUS, Store] })
class TurnedNeeds extends Base {
  constructor(
    readonly store: Store,
    readonly bus: Bus,
  ) {
    super();
  }
  closeTill() {}
}

// @ts-expect-error a limit for an entry that is not handled
@SystemModule(shop, { concurrency: { sold: 1 } })
class BadLimit extends Base {
  closeTill() {}
}

// @ts-expect-error `close` is called without arguments when the process leaves
@SystemModule(shop)
class BadHook extends Base {
  close(_how: string) {}
  closeTill() {}
}

// @ts-expect-error an abstract class cannot be instantiated
@SystemModule(shop)
abstract class Abstract extends Base {
  closeTill() {}
}

class BadListeners extends Base {
  // @ts-expect-error requests are not listened to
  @Listen(shop.order)
  order2(_order: Body<typeof shop.order>) {}
  // @ts-expect-error it takes something else
  @Listen(shop.sold)
  other(_sale: { till: number }) {}
  // @ts-expect-error it accepts less than the event allows
  @Listen(shop.sold)
  narrow(_sale: { id: 'o1' }) {}
  // @ts-expect-error a plain listener is not retried, so it cannot park
  @Listen(shop.sold)
  parks(_sale: Body<typeof shop.sold>, _context: WorkContext) {}
  // @ts-expect-error an option that listeners do not have
  @Listen(shop.sold, { as: 'x', atempts: 3 })
  option() {}
  // @ts-expect-error a named listener has a name
  @Listen(shop.sold, { attempts: 3 })
  nameless() {}
}

class Undeclared extends Base {
  override async order(body: Body<typeof shop.order>, context?: RequestContext<typeof shop.order>) {
    // @ts-expect-error an undeclared failure
    context?.fail('TooMany', {});
    return super.order(body);
  }
}

// @ts-expect-error an option of neither the bus nor the host
void runModule(Methods, { drainMS: 5 });
// @ts-expect-error a module is a class
void runModule(new Methods(new Store(), undefined as never));

void [
  Listening,
  BadListeners,
  Properties,
  Hooked,
  Injected,
  Missing,
  Misspelt,
  Narrow,
  Wrong,
  More,
  BadReply,
  ShortReply,
  Hidden,
];
void [OtherNeeds, MoreNeeds, TurnedNeeds, BadLimit, BadHook, Abstract, Undeclared];
