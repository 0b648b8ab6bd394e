/**
 * A process of the trace tests: `web` makes a request and hears of the result, `photos` answers it with a job. Each
 * exports its spans with the SDK of OpenTelemetry, to the process that started it.
 */
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { z } from 'zod';
import { defineModule, event, openBus, request, work } from '../../src/index';
import type { BusGiven } from '../../src/options';

/** A span, as it is sent to the test. */
export interface Exported {
  readonly process: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
}

const photos = defineModule('photos', {
  add: request(z.string(), z.string()),
  resize: work(z.string()),
  resized: event(z.string()),
});

const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

const [, , role = '', options = '{}'] = process.argv;
const given = JSON.parse(options) as BusGiven; // written by the test
function exported(span: ReadableSpan): Exported {
  const { traceId, spanId } = span.spanContext();
  return { process: role, name: span.name, traceId, spanId, parentId: span.parentSpanContext?.spanId };
}
const send = (message: unknown): void => void process.send?.(message);

async function servePhotos(): Promise<void> {
  const bus = await openBus({ module: photos, log: false, ...given });
  await bus.serve(photos, {
    async add(name) {
      await bus.submit(photos.resize, name);
      return name;
    },
    async resize(name) {
      await bus.publish(photos.resized, name);
    },
  });
  send('ready');
  process.once('message', () => void bus.close().then(finish));
}

async function upload(): Promise<void> {
  const bus = await openBus({ module: 'web', log: false, ...given });
  const resized = new Promise<void>((resolve) => {
    void bus.listen(photos.resized, { as: 'gallery' }, () => resolve()).then(() => send('ready'));
  });
  process.once('message', () => {
    void trace.getTracer('web').startActiveSpan('upload', async (span) => {
      await bus.request(photos.add, 'p1');
      span.end();
      await resized;
      await bus.close();
      finish();
    });
  });
}

function finish(): void {
  send(exporter.getFinishedSpans().map(exported));
  process.disconnect();
}

void (role === 'web' ? upload() : servePhotos());
