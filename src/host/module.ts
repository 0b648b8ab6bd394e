/** Creates the handlers of a contract from a class, and injects the dependencies of its constructor. */
import 'reflect-metadata';
import { container as rootContainer, injectable, type DependencyContainer, type InjectionToken } from 'tsyringe';
import { BusError, errorMessage } from '../base/errors';
import type { AnyContract, Bus, Handlers, ServeOptions } from '../index';

/**
 * The injection token of the bus, because an interface has no value at run time: `needs: [PhotoStore, BUS]`, or
 * `@inject(BUS)`.
 */
export const BUS: InjectionToken<Bus> = Symbol.for('busbar.bus');

/**
 * Optional methods of a module besides its handlers. `open` and `close` are reserved names, so they cannot collide with
 * entries.
 */
export interface Hooks {
  /** Called after the bus is open and before any message is handled. An error that it throws fails the start. */
  open?(): unknown;
  /** Called first when the process leaves, while the bus still works. Stop reading from external sources here. */
  close?(): unknown;
}

type Tokens = readonly InjectionToken<unknown>[];
type Instances<D extends Tokens> = { -readonly [K in keyof D]: D[K] extends InjectionToken<infer T> ? T : never };
/**
 * The parameters of the constructor. With `needs` they must match it; without it, the container resolves them at the
 * start.
 */
type Arguments<D extends Tokens> = Tokens extends D ? never[] : Instances<D>;

/** Options of {@link SystemModule}, and of serving the class. */
export interface ModuleOptions<C extends AnyContract, D extends Tokens> extends ServeOptions<C> {
  /**
   * The dependencies of the constructor, in order: classes, or tokens such as BUS. They need no metadata, so they work
   * with tsx and esbuild.
   */
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
 * Declares that a class handles a contract. A class with a missing or wrong handler does not compile. Handlers are
 * methods, or properties made by `handler(entry, …)`. It works as a legacy and as a standard decorator. Without
 * `needs`, tsyringe reads the parameter types from metadata that tsc and swc emit for legacy decorators.
 *
 * {@link Listen} has an example.
 */
export function SystemModule<C extends AnyContract, const D extends Tokens = Tokens>(
  contract: C,
  options: ModuleOptions<C, D> = {},
): (target: ModuleClass<C, D>, context?: ClassDecoratorContext) => void {
  const { needs, ...serveOptions } = options;
  return (target) => {
    // The cast is safe: ServeOptions<AnyContract> has no entry names, and the parameter type above checks those of C.
    known.set(target, { contract, options: serveOptions as ServeOptions<AnyContract>, needs });
    // The cast is safe: tsyringe requires a constructor with any parameters, but only reads its metadata.
    if (!needs) injectable()(target as unknown as new (...args: unknown[]) => unknown);
  };
}

/** A class with any constructor. */
export type AnyClass = new (...args: never[]) => object;

/** Returns the contract and options that `@SystemModule` declared for the class. Throws Config for any other class. */
export function knownModule(target: AnyClass): Known {
  const found = known.get(target);
  if (found) return found;
  const remedy = 'Put @SystemModule(contract) before the class.';
  throw fault(`${target.name} is not a module. Put @SystemModule(contract) before the class`, remedy);
}

/** An instance of a module, and the dependencies passed to its constructor, in the order in which they were created. */
export interface Made {
  readonly handlers: object & Hooks;
  readonly needed: readonly unknown[];
}

/** Creates the instance. Throws Config when a dependency cannot be resolved. */
export function makeModule(target: AnyClass, bus: Bus, from: DependencyContainer = rootContainer): Made {
  const { needs } = knownModule(target);
  const container = from.createChildContainer();
  container.registerInstance(BUS, bus);
  // The cast is safe: tsyringe's types require a class with any parameters, and this one receives the declared
  // dependencies.
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
    throw cannotMake(target, errorMessage(error), error);
  }
}

/**
 * Throws Config for a parameter without metadata and without `@inject`, because tsyringe would pass undefined for it.
 */
function checkMetadata(target: AnyClass): void {
  if (target.length === 0 || Reflect.hasMetadata('design:paramtypes', target)) return;
  const injected: unknown = Reflect.getMetadata('injectionTokens', target); // where tsyringe's `@inject` stores them
  if (Object.keys(injected ?? {}).length >= target.length) return;
  throw cannotMake(target, 'the compiler emits no types of its constructor parameters');
}

function cannotMake(target: AnyClass, why: string, cause?: unknown): BusError<'Config'> {
  const remedy = 'name its dependencies: @SystemModule(contract, { needs: [Store, BUS] })';
  return fault(`${target.name} cannot be created: ${why}; ${remedy}`, `N${remedy.slice(1)}.`, cause);
}

/**
 * Records the instances that the container creates for the constructor's parameters. Only the container has these
 * instances.
 */
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

/**
 * Returns true for errors of tsyringe, which has no class for them. Other errors were thrown by a constructor of the
 * application.
 */
function isInjectionFault(error: unknown): boolean {
  return /TypeInfo not known|Cannot inject the dependency|unregistered dependency token/.test(errorMessage(error));
}

function fault(message: string, remedy: string, cause?: unknown): BusError<'Config'> {
  return new BusError('Config', message, { faults: [message] }, cause, remedy);
}
