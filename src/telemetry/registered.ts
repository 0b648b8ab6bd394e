/** Loads the parts for OpenTelemetry if the application has registered a provider. Otherwise nothing is loaded. */
import { errorMessage } from '../base/errors';
import type { Notices } from '../base/notices';
import type { Tracing } from '../delivery/tracing';
import type { OtelMetrics } from './otel-metrics';
import type { Watchable } from './watchable';

/** Providers that an application registers for all copies of `@opentelemetry/api`, by name. */
type Registered = Readonly<Partial<Record<'trace' | 'metrics', unknown>>>;
/** Key under which every copy of `@opentelemetry/api` 1.x keeps the registered providers. */
const key = Symbol.for('opentelemetry.js.api.1');

function isRegistered(name: keyof Registered): boolean {
  // The cast is safe: the property is optional, and each value in it is only compared.
  const registered = (globalThis as { readonly [key]?: Registered })[key];
  return registered?.[name] !== undefined;
}

/** Returns a tracer if a tracer provider is registered, and undefined otherwise. Emits a notice if loading it fails. */
export async function registeredTracing(instance: string, notices: Emits): Promise<Tracing | undefined> {
  if (!isRegistered('trace')) return undefined;
  return loaded('spans', notices, async () => (await import('./spans')).openTracing({ instance }));
}

/** Counts the notices in metrics if a meter provider is registered, and returns undefined otherwise. */
export async function registeredMetrics(notices: Emits & Watchable): Promise<OtelMetrics | undefined> {
  if (!isRegistered('metrics')) return undefined;
  return loaded('metrics', notices, async () => (await import('./otel-metrics')).openOtelMetrics(notices));
}

type Emits = Pick<Notices, 'emit'>;
/** The package can be missing for busbar, although the application has it. The bus works without it. */
async function loaded<T>(what: string, notices: Emits, load: () => Promise<T>): Promise<T | undefined> {
  try {
    return await load();
  } catch (error) {
    const message = `OpenTelemetry gets no ${what}, since @opentelemetry/api cannot be loaded: ${errorMessage(error)}`;
    notices.emit({ type: 'log', level: 'warn', message, fields: {} });
    return undefined;
  }
}
