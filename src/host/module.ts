/** Turns a class into the handlers of a contract, and makes its instance with what it needs. */
import 'reflect-metadata';
import { container as rootContainer, injectable, type DependencyContainer, type InjectionToken } from 'tsyringe';
import { BusError, sayError } from '../base/errors';
import type { AnyContract, Bus, Handlers, ServeOptions } from '../index';

/** Asks for the bus, which as an interface has no value: `needs: [PhotoStore, BUS]`, or `@inject(BUS)`. */
export const BUS: InjectionToken<Bus> = Symbol.for('busbar.bus');

/** What a module may have besides its handlers. No entry can be called so, hence nothing is mistaken for one. */
export interface Hooks {
  /** Called when the bus is open, before anything is handled. What it throws ends the start. */
  open?(): unknown;
  /** Called first when the process leaves, while the bus still works: the place to stop taking from elsewhere. */
  close?(): unknown;
}

type Tokens = readonly InjectionToken<unknown>[];
type Instances<D extends Tokens> = { -readonly [K in keyof D]: D[K] extends InjectionToken<infer T> ? T : never };
/** With `needs` the constructor must take just that; without, the container finds out at the start. */
type Arguments<D extends Tokens> = Tokens extends D ? never[] : Instances<D>;

export interface ModuleOptions<C extends AnyContract, D extends Tokens> extends ServeOptions<C> {
  /** What the constructor takes, in order: classes, or tokens such as BUS. Needs no metadata (tsx, esbuild). */
  readonly needs?: D;
}
type ModuleClass<C extends AnyContract, D extends Tokens> = new (...args: Arguments<D>) => Handlers<C> & Hooks;

interface Known {
  readonly contract: AnyContract;
  readonly options: ServeOptions<AnyContract>;
  readonly needs: Tokens | undefined;
}
const known = new WeakMap<object, Known>();

/**
 * Says that a class handles a contract: a class that lacks a handler, or has a wrong one, does not compile. Handlers
 * are methods, or properties made by `handler(entry, …)`. Works with legacy and with standard decorators. Without
 * `needs` tsyringe reads the constructor's types from the metadata that tsc and swc emit for legacy decorators.
 */
export function SystemModule<C extends AnyContract, const D extends Tokens = Tokens>(
  contract: C,
  options: ModuleOptions<C, D> = {},
): (target: ModuleClass<C, D>, context?: ClassDecoratorContext) => void {
  const { needs, ...serveOptions } = options;
  return (target) => {
    // ServeOptions<AnyContract> has no names of entries; those of C are checked by the parameter above.
    known.set(target, { contract, options: serveOptions as ServeOptions<AnyContract>, needs });
    // tsyringe wants a constructor of anything, and only reads its metadata.
    if (!needs) injectable()(target as unknown as new (...args: unknown[]) => unknown);
  };
}

export type AnyClass = new (...args: never[]) => object;

/** What `@SystemModule` said of the class. Throws Config for any other class. */
export function knownModule(target: AnyClass): Known {
  const found = known.get(target);
  if (found) return found;
  const remedy = 'Put @SystemModule(contract) before the class.';
  throw fault(`${target.name} is not a module: put @SystemModule(contract) before the class`, remedy);
}

/** An instance of a module, and what its constructor was given, in the order it was made. */
export interface Made {
  readonly handlers: object & Hooks;
  readonly needed: readonly unknown[];
}

/** Makes the instance. Throws Config when something it takes cannot be found. */
export function makeModule(target: AnyClass, bus: Bus, from: DependencyContainer = rootContainer): Made {
  const { needs } = knownModule(target);
  const container = from.createChildContainer();
  container.registerInstance(BUS, bus);
  // tsyringe's types know classes that take anything; this one takes what `needs` or its metadata says.
  const anyTarget = target as unknown as new (...args: unknown[]) => object;
  const needed: unknown[] = [];
  if (!needs) checkMetadata(target);
  try {
    if (needs) for (const token of needs) needed.push(container.resolve(token));
    else collect(target, container, needed);
    const handlers = needs ? new anyTarget(...needed) : container.resolve(anyTarget);
    return { handlers, needed: needed.filter((one) => one !== bus) };
  } catch (error) {
    if (!isInjectionFault(error)) throw error;
    throw cannotMake(target, sayError(error), error);
  }
}

/** tsyringe would pass undefined for a parameter that neither the metadata nor `@inject` speaks of. */
function checkMetadata(target: AnyClass): void {
  if (target.length === 0 || Reflect.hasMetadata('design:paramtypes', target)) return;
  const injected: unknown = Reflect.getMetadata('injectionTokens', target); // where tsyringe's `@inject` keeps them
  if (Object.keys(injected ?? {}).length >= target.length) return;
  throw cannotMake(target, 'this compiler does not say what its constructor takes');
}

function cannotMake(target: AnyClass, why: string, cause?: unknown): BusError<'Config'> {
  const remedy = 'name what it takes: @SystemModule(contract, { needs: [Store, BUS] })';
  return fault(`${target.name} cannot be made: ${why}; ${remedy}`, `N${remedy.slice(1)}.`, cause);
}

/** Notes what the container makes for the constructor's parameters; only it knows which instance it passed. */
function collect(target: AnyClass, container: DependencyContainer, needed: unknown[]): void {
  const types: unknown = Reflect.getMetadata('design:paramtypes', target);
  for (const type of new Set(Array.isArray(types) ? types : [])) {
    if (isClass(type))
      container.afterResolution(type, (_token, made: unknown) => needed.push(made), { frequency: 'Always' });
  }
}

function isClass(type: unknown): type is new (...args: unknown[]) => object {
  return typeof type === 'function' && type !== Object;
}

/** tsyringe has no class for its errors. Anything else came from a constructor of the application. */
function isInjectionFault(error: unknown): boolean {
  return /TypeInfo not known|Cannot inject the dependency|unregistered dependency token/.test(sayError(error));
}

function fault(message: string, remedy: string, cause?: unknown): BusError<'Config'> {
  return new BusError('Config', message, { faults: [message] }, cause, remedy);
}
