/** Port of the bus to a tracer: spans of messages that are sent and handled. Without a tracer the bus has none. */

/** A call that sends one or more messages of an entry. */
export interface SentSpan {
  readonly verb: 'request' | 'submit' | 'broadcast' | 'publish';
  readonly entry: string;
  /** Number of messages of a list; undefined for one message. */
  readonly count?: number;
  /** Trace to which the call belongs if no span is active. */
  readonly traceparent: string | undefined;
}
/** A call of a handler. */
export interface HandledSpan {
  readonly entry: string;
  readonly kind: 'request' | 'work' | 'broadcast' | 'event';
  readonly id: string;
  readonly attempt: number;
  /** Group of a durable message. */
  readonly group?: string | undefined;
  readonly partition?: number | undefined;
  /** Trace of the message, which its sender set. */
  readonly traceparent: string | undefined;
}
/** The span of a handler call that runs. */
export interface HandlerSpan {
  /** Trace context of the messages that the handler sends. */
  readonly traceparent: string | undefined;
  /** Calls `run` with this span as the active one. */
  within<T>(run: () => T): T;
  /** Ends the span. `error` is the thrown value, if the call has failed. */
  end(error?: { readonly thrown: unknown }): void;
}

export interface Tracing {
  /** Calls `send` with the trace context that the messages get, and ends their span with its promise. */
  sent<T>(span: SentSpan, send: (traceparent: string | undefined) => Promise<T>): Promise<T>;
  /** Starts the span of a handler call. */
  handled(span: HandledSpan): HandlerSpan;
  /** Calls `run` with this trace as the active one. */
  inside<T>(traceparent: string, run: () => T): T;
}

/** Returns true for the requests of operators and instances to each other, which every instance serves. */
export function isSystem(entry: string): boolean {
  return entry.startsWith('busbar.');
}
