/** Listeners that are declared on a class: methods with `@Listen(entry)`, started when the module serves. */
import { BusError } from '../base/errors';
import { allEnded, deferred } from '../base/lifecycle';
import type { Body, Bus, Context, Event, ListenOptions, Served, WorkContext } from '../index';

/** The type of a method decorator, with legacy and with standard decorators. */
interface MethodDecoratorOf<F> {
  <H extends F>(method: H, context: ClassMethodDecoratorContext): void;
  <H extends F>(prototype: object, name: string | symbol, descriptor: TypedPropertyDescriptor<H>): void;
}

interface Listening {
  readonly entry: Event;
  readonly options: ListenOptions | undefined;
  readonly method: string | symbol;
}
/** Legacy decorators know the prototype, standard ones the instance. */
const declared = new WeakMap<object, Listening[]>();

/**
 * Declares that the method handles an event of another module; see the two forms of `bus.listen`. `runModule` and
 * `serveModule` start to listen when the module serves, so that requests do not wait until the groups of its listeners
 * are ready. A method can have several of these decorators.
 *
 * @example
 * ```ts
 * @SystemModule(search, { needs: [SearchIndex] })
 * export class Search {
 *   constructor(private readonly index: SearchIndex) {}
 *
 *   @Listen(photos.added, { as: 'index' })
 *   async added({ id, name }: Body<typeof photos.added>) {
 *     await this.index.add(id, name);
 *   }
 * }
 * ```
 */
export function Listen<M extends Event>(
  entry: M,
): MethodDecoratorOf<(body: Body<M>, context: Context) => void | Promise<void>>;
export function Listen<M extends Event>(
  entry: M,
  options: ListenOptions,
): MethodDecoratorOf<(body: Body<M>, context: WorkContext) => void | Promise<void>>;
export function Listen(entry: Event, options?: ListenOptions): MethodDecoratorOf<never> {
  return (target: unknown, second: string | symbol | ClassMethodDecoratorContext): void => {
    if (typeof second !== 'object') {
      // A legacy decorator gets the prototype, or the class where the method is static.
      if (typeof target !== 'object' || target === null) throw misplaced(second, 'static');
      return declare(target, { entry, options, method: second });
    }
    const { name: method, static: isStatic, private: isPrivate } = second;
    if (isStatic || isPrivate) throw misplaced(method, isStatic ? 'static' : 'private (#)');
    second.addInitializer(function (this: unknown) {
      declare(this as object, { entry, options, method }); // an initializer of a method runs with its instance
    });
  };
}

function declare(at: object, listening: Listening): void {
  const all = declared.get(at) ?? [];
  declared.set(at, all);
  all.push(listening);
}

function misplaced(method: string | symbol, how: string): BusError<'Config'> {
  const fault = `@Listen: the method '${String(method)}' is ${how}; put the decorator before a method of instances`;
  const remedy = 'Put @Listen before a public method of instances of the class.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}

/** What the class of `instance` declares, in the order of declaration; what a base class declares comes first. */
function listeningsOf(instance: object): readonly Listening[] {
  const found = [...(declared.get(instance) ?? [])];
  for (let at: unknown = Object.getPrototypeOf(instance); typeof at === 'object' && at !== null;) {
    found.unshift(...(declared.get(at) ?? []));
    at = Object.getPrototypeOf(at);
  }
  return found;
}

/** Listeners that have begun to listen. None of them handles anything before `serves` is called. */
export interface Listeners {
  /** Resolves when all of them listen; rejects with the first error. */
  readonly listening: Promise<unknown>;
  serves(): void;
  close(): Promise<void>;
}

/**
 * Begins to listen with all listeners of `instance`, at once: each can have to wait until the session of an instance
 * that was killed has expired. Events that arrive before the module serves are handled when it does.
 */
export function startListeners(bus: Bus, instance: object): Listeners {
  const serving = deferred<void>();
  let isServing = false;
  const each = listeningsOf(instance).map(({ entry, options, method }): Promise<Served> => {
    const run = (body: unknown, context: Context): void | Promise<void> =>
      isServing
        ? call(instance, method, body, context)
        : serving.promise.then(() => call(instance, method, body, context));
    return options ? bus.listen(entry, options, run) : bus.listen(entry, run);
  });
  const listening = Promise.all(each);
  listening.catch(() => undefined); // reported to the caller that waits for it after serving
  return {
    listening,
    serves() {
      isServing = true;
      serving.resolve();
    },
    async close() {
      const ends = await Promise.allSettled(each);
      await allEnded(
        'closing the listeners',
        ends.map((end) => (end.status === 'fulfilled' ? end.value.close() : Promise.resolve())),
      );
    },
  };
}

/** Looks the method up at each call, so that a subclass can override it. */
function call(instance: object, method: string | symbol, body: unknown, context: Context): void | Promise<void> {
  // The decorator's type has checked that the method handles the event; a subclass in JavaScript can have replaced it.
  const run = (instance as Readonly<Record<string | symbol, unknown>>)[method];
  if (typeof run !== 'function') throw new TypeError(`'${String(method)}' is no method of its object any more`);
  return run.call(instance, body, context) as void | Promise<void>;
}
