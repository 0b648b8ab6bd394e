import { trace } from '@opentelemetry/api';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { openNotices } from '../../src/base/notices';
import { registeredTracing } from '../../src/telemetry/registered';

afterEach(() => {
  trace.disable();
  jest.resetModules();
});

function open(): { readonly notices: ReturnType<typeof openNotices>; readonly messages: string[] } {
  const notices = openNotices();
  const messages: string[] = [];
  notices.watch((notice) => notice.type === 'log' && messages.push(notice.message));
  return { notices, messages };
}

test('without a tracer provider there are no spans, although the package is installed', async () => {
  const { notices, messages } = open();
  expect(await registeredTracing('web#1', notices)).toBeUndefined();
  trace.getTracer('other'); // the package is loaded and used
  expect(await registeredTracing('web#1', notices)).toBeUndefined();
  expect(messages).toEqual([]);
});

test('a registered tracer provider is enough', async () => {
  trace.setGlobalTracerProvider(new BasicTracerProvider());
  expect(await registeredTracing('web#1', open().notices)).toBeDefined();
});

test('a package that cannot be loaded is reported, and the bus works without spans', async () => {
  trace.setGlobalTracerProvider(new BasicTracerProvider());
  jest.doMock('../../src/telemetry/spans', () => {
    throw new Error("Cannot find module '@opentelemetry/api'");
  });
  const { notices, messages } = open();
  expect(await registeredTracing('web#1', notices)).toBeUndefined();
  expect(messages).toEqual([
    "OpenTelemetry gets no spans, since @opentelemetry/api cannot be loaded: Cannot find module '@opentelemetry/api'",
  ]);
});
