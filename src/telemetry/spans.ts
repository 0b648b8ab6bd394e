/**
 * Creates spans with the tracer of OpenTelemetry, by its conventions for messaging:
 * https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
 */
import {
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type Span,
  type SpanContext,
  type Tracer,
} from '@opentelemetry/api';
import { errorMessage, Failure, isBusError } from '../base/errors';
import type { HandledSpan, HandlerSpan, SentSpan, Tracing } from '../delivery/tracing';

/** Dependencies of {@link openTracing}. */
export interface TracingParts {
  /** Name of the instance, for `messaging.client.id`. */
  readonly instance: string;
}

/** Creates spans with the global tracer provider. */
export function openTracing({ instance }: TracingParts): Tracing {
  const tracer = trace.getTracer('busbar');
  const common = { 'messaging.system': 'busbar', 'messaging.client.id': instance };
  return {
    async sent(sent, send) {
      const span = startSent(tracer, sent, common);
      const traceparent = traceparentOf(span.spanContext()) ?? sent.traceparent;
      try {
        const result = await send(traceparent);
        if (sent.verb !== 'request') noteId(span, result); // the reply of a request can have any `id`
        return result;
      } catch (error) {
        fail(span, error);
        throw error;
      } finally {
        span.end();
      }
    },
    handled: (handled) => startHandled(tracer, handled, common),
    inside: (traceparent, run) => context.with(remote(context.active(), traceparent), run),
  };
}

function startSent(tracer: Tracer, { verb, entry, count, traceparent }: SentSpan, common: Attributes): Span {
  const active = context.active();
  const parent = trace.getSpanContext(active) ? active : remote(active, traceparent);
  const attributes: Attributes = {
    ...common,
    'messaging.operation.name': verb,
    'messaging.operation.type': 'send',
    'messaging.destination.name': entry,
    ...(count !== undefined && { 'messaging.batch.message_count': count }),
  };
  // A request waits for its reply, so it is a call between a client and a server.
  const kind = verb === 'request' ? SpanKind.CLIENT : SpanKind.PRODUCER;
  return tracer.startSpan(`${verb} ${entry}`, { kind, attributes }, parent);
}

function startHandled(tracer: Tracer, handled: HandledSpan, common: Attributes): HandlerSpan {
  const { entry, kind, id, attempt, group, partition, traceparent } = handled;
  const attributes: Attributes = {
    ...common,
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': entry,
    'messaging.message.id': id,
    'messaging.busbar.attempt': attempt,
    ...(group !== undefined && { 'messaging.consumer.group.name': group }),
    ...(partition !== undefined && { 'messaging.destination.partition.id': String(partition) }),
  };
  // Not the active context: that is the one in which the bus was opened, since it reads and receives from then on.
  const parent = remote(ROOT_CONTEXT, traceparent);
  const sender = trace.getSpanContext(parent);
  const isRequest = kind === 'request';
  const links = sender && !isRequest ? [{ context: sender }] : [];
  const options = { kind: isRequest ? SpanKind.SERVER : SpanKind.CONSUMER, attributes, links };
  const span = tracer.startSpan(`process ${entry}`, options, parent);
  const inside = trace.setSpan(ROOT_CONTEXT, span);
  return {
    traceparent: traceparentOf(span.spanContext()) ?? traceparent,
    within: (run) => context.with(inside, run),
    end(error) {
      if (error) failHandler(span, error.thrown);
      span.end();
    },
  };
}

/** Records the error of a handler. A declared failure is a reply that the contract has, so it is no error here. */
function failHandler(span: Span, thrown: unknown): void {
  if (thrown instanceof Failure) return void span.setAttribute('error.type', thrown.code);
  if (thrown instanceof Error) span.recordException(thrown);
  fail(span, thrown);
}
function fail(span: Span, error: unknown): void {
  const type =
    isBusError(error) || error instanceof Failure ? error.code : error instanceof Error ? error.name : '_OTHER';
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR, message: errorMessage(error) });
}

/** Records the id that a message got when it was sent. A request has no id that its caller knows. */
function noteId(span: Span, result: unknown): void {
  const sent: unknown = Array.isArray(result) && result.length === 1 ? result[0] : result;
  if (typeof sent !== 'object' || sent === null || !('id' in sent)) return;
  if (typeof sent.id === 'string') span.setAttribute('messaging.message.id', sent.id);
}

/** Returns the context with the span of another process as the active one. An invalid trace changes nothing. */
function remote(base: Context, traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = traceparentPattern.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return base;
  const spanContext: SpanContext = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(spanContext) ? trace.setSpanContext(base, spanContext) : base;
}
const traceparentPattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Returns undefined for the span of a tracer that records nothing and has no parent. */
function traceparentOf(span: SpanContext): string | undefined {
  if (!isSpanContextValid(span)) return undefined;
  return `00-${span.traceId}-${span.spanId}-${span.traceFlags & TraceFlags.SAMPLED ? '01' : '00'}`;
}
