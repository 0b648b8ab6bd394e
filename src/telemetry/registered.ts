/** Loads the parts for OpenTelemetry if the application has registered a provider. Otherwise nothing is loaded. */
import { errorMessage } from '../base/errors';
import type { Notices } from '../base/notices';
import type { Tracing } from '../delivery/tracing';

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
export async function registeredTracing(
  instance: string,
  notices: Pick<Notices, 'emit'>,
): Promise<Tracing | undefined> {
  if (!isRegistered('trace')) return undefined;
  try {
    const { openTracing } = await import('./spans');
    return openTracing({ instance });
  } catch (error) {
    const message = `no spans are created, since @opentelemetry/api cannot be loaded: ${errorMessage(error)}`;
    notices.emit({ type: 'log', level: 'warn', message, fields: {} });
    return undefined;
  }
}
