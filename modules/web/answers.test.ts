import { BusError, Failure } from 'busbar';
import { HttpError, toHttpError } from './answers';

test.each([
  [new BusError('NoHandler', 'nobody', { module: 'photos' }), 503, '1'],
  [new BusError('Overloaded', 'full', { retryAfterMs: 2_500 }), 503, '3'],
  [new BusError('Timeout', 'late', { reached: 'running', timeoutMs: 1 }), 503, '1'],
  [new BusError('ResponderLost', 'died', { instance: 'photos#1' }), 503, '1'],
  [new BusError('Invalid', 'name: too long', { side: 'input', issues: [] }), 400, undefined],
  [new BusError('HandlerFailed', 'boom', { handlerError: 'boom' }), 502, undefined],
  [new Failure('photos.add', 'TooBig', { limitBytes: 1 }), 413, undefined],
  [new Failure('photos.add', 'NotAnImage', { startsWith: '25' }), 415, undefined],
  [new Failure('photos.get', 'NotFound', {}), 404, undefined],
  [new HttpError(405, 'no'), 405, undefined],
])('%s is answered with its status', (error, status, retryAfter) => {
  const answer = toHttpError(error);
  expect(answer.status).toBe(status);
  expect(answer.headers['retry-after']).toBe(retryAfter);
});

test('an internal error reveals nothing to the browser', () => {
  expect(toHttpError(new Error('secret path')).message).not.toContain('secret');
});
