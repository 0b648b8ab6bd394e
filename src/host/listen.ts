/** Declares listeners on a class by `@Listen(entry)` on its methods, and starts them when the module serves. */
import { BusError } from '../base/errors';
import { allEnded, deferred, NotStarted } from '../base/lifecycle';
import type { Body, Bus, Context, Event, ListenOptions, Served, WorkContext } from '../index';

/** The type of a method decorator, both legacy and standard. */
interface MethodDecoratorOf<F> {
  <H extends F>(method: H, context: ClassMethodDecoratorContext): void;
  <H extends F>(prototype: object, name: string | symbol, descriptor: TypedPropertyDescriptor<H>): void;
}

interface Listening {
  readonly entry: Event;
  readonly options: ListenOptions | undefined;
  readonly method: string | symbol;
}
/**
 * Listeners by the object that declares them. Legacy decorators declare them on the prototype, standard ones on the
 * instance.
 */
const declared = new WeakMap<object, Listening[]>();

/**
 * Declares that the method handles an event of another module; see the two forms of `bus.listen`. `runModule` and
 * `serveModule` start the listeners together with the module, so that requests need not wait for the listener groups. A
 * method can have several of these decorators.
 *
 * @example
 * ```ts
 * import type { Body } from 'busbar';
 * import { Listen, SystemModule } from 'busbar/host';
 *
 * @SystemModule(search, { needs: [SearchIndex] })
 * export class Search {
 *   constructor(private readonly index: SearchIndex) {}
 *
 *   @Listen(photos.added, { as: 'index' })
 *   async added(photo: Body<typeof photos.added>) {
 *     await this.index.add(photo);
 *   }
 *   find = ({ text }: { text: string }) => this.index.find(text);
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
      // A legacy decorator receives the prototype, or the class when the method is static.
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
  const fault = `@Listen: the method '${String(method)}' is ${how}. Put the decorator before a method of instances`;
  const remedy = 'Put @Listen before a public method of instances of the class.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}

/** Returns the listeners that the class of `instance` declares, in order of declaration. Base classes are first. */
function listeningsOf(instance: object): readonly Listening[] {
  const found = [...(declared.get(instance) ?? [])];
  for (let at: unknown = Object.getPrototypeOf(instance); typeof at === 'object' && at !== null;) {
    found.unshift(...(declared.get(at) ?? []));
    at = Object.getPrototypeOf(at);
  }
  return found;
}

/** Listeners that have started. They handle no event before `serves` is called. */
export interface Listeners {
  /** Resolves when all listeners are ready. Rejects with the first error. */
  readonly listening: Promise<unknown>;
  serves(): void;
  /** Closes the listeners. Events that wait for a module that never served are not handled, and no attempt counts. */
  close(): Promise<void>;
}

/**
 * Starts all listeners of `instance` at the same time, because each can have to wait for the session of a killed
 * instance to expire. Events that arrive before the module serves are handled once it does.
 */
export function startListeners(bus: Bus, instance: object): Listeners {
  const serving = deferred<void>();
  serving.promise.catch(() => undefined); // often no event waits for it
  let isServing = false;
  const each = listeningsOf(instance).map(({ entry, options, method }): Promise<Served> => {
    const run = (body: unknown, context: Context): void | Promise<void> =>
      isServing
        ? call(instance, method, body, context)
        : serving.promise.then(() => call(instance, method, body, context));
    return options ? bus.listen(entry, options, run) : bus.listen(entry, run);
  });
  const listening = Promise.all(each);
  listening.catch(() => undefined); // reported to the caller that awaits it after serving
  return {
    listening,
    serves() {
      isServing = true;
      serving.resolve();
    },
    async close() {
      // Without this, closing would wait `drainMs` for events that wait for a module that failed to serve.
      serving.reject(new NotStarted('its module was closed before it served'));
      const ends = await Promise.allSettled(each);
      await allEnded(
        'closing the listeners',
        ends.map((end) => (end.status === 'fulfilled' ? end.value.close() : Promise.resolve())),
      );
    },
  };
}

/** Looks up the method at each call, so that a subclass can override it. */
function call(instance: object, method: string | symbol, body: unknown, context: Context): void | Promise<void> {
  // The decorator's type checks that the method handles the event, but a subclass in JavaScript can replace it.
  const run = (instance as Readonly<Record<string | symbol, unknown>>)[method];
  if (typeof run !== 'function') throw new TypeError(`'${String(method)}' is no longer a method of its object`);
  return run.call(instance, body, context) as void | Promise<void>;
}
