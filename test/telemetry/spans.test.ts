import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { buildBus } from '../../src/bus/bus';
import { selfContract } from '../../src/bus/self-contract';
import type { Bus } from '../../src/bus/types';
import { broadcast, defineModule, event, request, unchecked, work } from '../../src/contract/contract';
import { memoryWorld, virtualClock } from '../../src/memory';
import { openTracing } from '../../src/telemetry/spans';
import { memoryBusParts } from '../../src/testing/parts';

const photos = defineModule('photos', {
  add: request(unchecked<string>(), unchecked<string>(), { failures: { full: unchecked<undefined>() } }),
  resize: work(unchecked<string>(), { attempts: 2, backoffMs: 0 }),
  resized: event(unchecked<string>()),
  dropCache: broadcast(unchecked<string>()),
});

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
beforeAll(() => {
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});
afterAll(() => {
  trace.disable();
  context.disable();
});

const clock = virtualClock();
let world: ReturnType<typeof memoryWorld>;
const buses: Bus[] = [];
beforeEach(() => {
  world = memoryWorld({ clock });
  exporter.reset();
});
afterEach(async () => {
  for (const bus of buses.splice(0)) await bus.close();
});

async function open(instance: string, hasTracer = true): Promise<Bus> {
  const parts = memoryBusParts({ ...world.process(instance), clock });
  const { bus, opened } = buildBus({ ...parts, ...(hasTracer && { tracing: openTracing({ instance }) }) });
  buses.push(bus);
  await opened;
  return bus;
}
const tracer = trace.getTracer('test');
const spans = (): readonly ReadableSpan[] => exporter.getFinishedSpans();
const named = (name: string): ReadableSpan => {
  const found = spans().find((span) => span.name === name);
  if (!found)
    throw new Error(
      `no span ${name} in ${spans()
        .map((span) => span.name)
        .join(', ')}`,
    );
  return found;
};
const parentOf = (name: string): string | undefined => {
  const id = named(name).parentSpanContext?.spanId;
  return spans().find((span) => span.spanContext().spanId === id)?.name;
};
const nothing = { resize: () => undefined, dropCache: () => undefined };

test('a request that submits a job that publishes an event is one trace', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  await web.listen(photos.resized, { as: 'gallery' }, () => undefined);
  await shop.serve(photos, {
    ...nothing,
    async add(name) {
      await shop.submit(photos.resize, name);
      return name;
    },
    async resize(name) {
      await shop.publish(photos.resized, name);
    },
  });
  await tracer.startActiveSpan('upload', async (span) => {
    await web.request(photos.add, 'p1');
    span.end();
  });
  await clock.advance(1_000);
  const path = ['process photos.resized', 'publish photos.resized', 'process photos.resize', 'submit photos.resize'];
  const all = [...path, 'process photos.add', 'request photos.add', 'upload'];
  all.slice(0, -1).forEach((name, n) => expect([name, parentOf(name)]).toEqual([name, all[n + 1]]));
  expect(new Set(spans().map((span) => span.spanContext().traceId)).size).toBe(1);
});

test('spans have the names, kinds and attributes of the conventions for messaging', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  await shop.serve(photos, { ...nothing, add: (name) => name });
  await web.request(photos.add, 'p1');
  const { id } = await web.submit(photos.resize, 'p1');
  await web.submitAll(photos.resize, ['p2', 'p3']);
  await web.broadcast(photos.dropCache, 'p1');
  await clock.advance(1_000);
  const web1 = { 'messaging.system': 'busbar', 'messaging.client.id': 'web#1' };
  expect(named('request photos.add').kind).toBe(SpanKind.CLIENT);
  expect(named('process photos.add').kind).toBe(SpanKind.SERVER);
  expect(named('submit photos.resize')).toMatchObject({
    kind: SpanKind.PRODUCER,
    attributes: {
      ...web1,
      'messaging.operation.name': 'submit',
      'messaging.operation.type': 'send',
      'messaging.destination.name': 'photos.resize',
      'messaging.message.id': id,
    },
  });
  const handled = named('process photos.resize');
  expect(handled.kind).toBe(SpanKind.CONSUMER);
  expect(handled.attributes).toEqual({
    'messaging.system': 'busbar',
    'messaging.client.id': 'photos#1',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': 'photos.resize',
    'messaging.message.id': id,
    'messaging.busbar.attempt': 1,
    'messaging.consumer.group.name': expect.stringContaining('photos'),
    'messaging.destination.partition.id': expect.stringMatching(/^\d+$/),
  });
  expect(handled.links.map((link) => link.context.spanId)).toEqual([
    named('submit photos.resize').spanContext().spanId,
  ]);
  const list = spans().filter(({ name }) => name === 'submit photos.resize')[1];
  expect(list?.attributes).toMatchObject({ 'messaging.batch.message_count': 2 });
  expect(named('broadcast photos.dropCache').kind).toBe(SpanKind.PRODUCER);
  expect(parentOf('process photos.dropCache')).toBe('broadcast photos.dropCache');
});

test('an error of a handler is on its span and on that of the request; a declared failure only on the latter', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  await shop.serve(photos, {
    ...nothing,
    add(name, { fail }) {
      if (name === 'p1') throw new TypeError('no disk');
      return fail('full', undefined);
    },
  });
  await web.tryRequest(photos.add, 'p1');
  expect(named('process photos.add')).toMatchObject({
    status: { code: SpanStatusCode.ERROR, message: 'no disk' },
    attributes: { 'error.type': 'TypeError' },
    events: [{ name: 'exception' }],
  });
  expect(named('request photos.add')).toMatchObject({
    status: { code: SpanStatusCode.ERROR },
    attributes: { 'error.type': 'HandlerFailed' },
  });
  exporter.reset();
  await web.tryRequest(photos.add, 'p2');
  expect(named('process photos.add')).toMatchObject({
    status: { code: SpanStatusCode.UNSET },
    attributes: { 'error.type': 'full' },
  });
  expect(named('request photos.add').status.code).toBe(SpanStatusCode.ERROR);
});

test('each attempt of a job has a span, all with the sender as parent', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  const fail = (): never => {
    throw new Error('no disk');
  };
  await shop.serve(photos, { ...nothing, add: fail, resize: fail });
  await web.submit(photos.resize, 'p1');
  await clock.advance(1_000);
  const handled = spans().filter(({ name }) => name === 'process photos.resize');
  expect(handled.map(({ attributes }) => attributes['messaging.busbar.attempt'])).toEqual([1, 2]);
  const sender = named('submit photos.resize').spanContext().spanId;
  expect(handled.map(({ parentSpanContext }) => parentSpanContext?.spanId)).toEqual([sender, sender]);
});

test('spans of other libraries in a handler are children of its span, which context.traceparent names', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  let traceparent: string | undefined;
  await shop.serve(photos, {
    ...nothing,
    async add(name, given) {
      ({ traceparent } = given);
      await new Promise((resolve) => setImmediate(resolve));
      tracer.startSpan('query').end();
      return name;
    },
  });
  await web.request(photos.add, 'p1');
  expect(parentOf('query')).toBe('process photos.add');
  const { traceId, spanId } = named('process photos.add').spanContext();
  expect(traceparent).toBe(`00-${traceId}-${spanId}-01`);
});

test('the trace that bus.with names is the parent, also while another span is active', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  await shop.serve(photos, { ...nothing, add: (name) => name });
  const foreign = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await tracer.startActiveSpan('upload', async (span) => {
    await web.with({}, () => web.request(photos.add, 'p1'), foreign);
    span.end();
  });
  expect(named('request photos.add').parentSpanContext).toMatchObject({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    isRemote: true,
  });
  expect(named('process photos.add').spanContext().traceId).toBe('0af7651916cd43dd8448eb211c80319c');
});

test('the span in which a bus was opened is no parent of its handlers, and a message without a trace begins one', async () => {
  const web = await open('web#1', false);
  await tracer.startActiveSpan('start', async (span) => {
    const shop = await open('photos#1');
    await shop.serve(photos, { ...nothing, add: (name) => name });
    await web.submit(photos.resize, 'p1');
    await clock.advance(1_000);
    span.end();
  });
  expect(named('process photos.resize').parentSpanContext).toBeUndefined();
  expect(named('process photos.resize').links).toEqual([]);
});

test('without a context manager the trace follows the messages', async () => {
  context.disable();
  try {
    const [web, shop] = [await open('web#1'), await open('photos#1')];
    await shop.serve(photos, {
      ...nothing,
      async add(name) {
        await shop.submit(photos.resize, name);
        return name;
      },
    });
    await web.request(photos.add, 'p1');
    expect(parentOf('submit photos.resize')).toBe('process photos.add');
  } finally {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  }
});

test('an unsampled span is passed on as unsampled, and the requests of operators have no spans', async () => {
  const [web, shop] = [await open('web#1'), await open('photos#1')];
  let traceparent: string | undefined;
  await shop.serve(photos, {
    ...nothing,
    add(name, given) {
      ({ traceparent } = given);
      return name;
    },
  });
  await web.with({}, () => web.request(photos.add, 'p1'), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00');
  expect(traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
  expect(spans()).toEqual([]);
  await web.request(selfContract.status, undefined, { to: 'photos#1' });
  expect(spans()).toEqual([]);
});
