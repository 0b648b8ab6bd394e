/** Failing calls in a file of their own, so that a stack that contains the file has the line of the caller. */
import type { Bus } from '../../src/index';
import { shop } from './callsshop';

const wrong = {} as never; // an untyped caller can pass this

export const calls = {
  'request, answered with an error': (bus: Bus) => bus.request(shop.price, { item: 'a' }),
  'request, too late': (bus: Bus) => bus.request(shop.slow, {}, { timeoutMs: 5 }),
  'request, with a body that cannot be sent': (bus: Bus) => bus.request(shop.price, wrong),
  'request, with a wrong option': (bus: Bus) => bus.request(shop.price, { item: 'a' }, { timeoutMs: '5' as never }),
  tryRequest: (bus: Bus) => bus.tryRequest(shop.price, { item: 'a' }).then((result) => !result.ok && result.error),
  requestAll: (bus: Bus) => bus.requestAll(shop.price, { item: 'a' }).then(([one]) => one && !one.ok && one.error),
  submit: (bus: Bus) => bus.submit(shop.pack, wrong),
  submitAll: (bus: Bus) => bus.submitAll(shop.pack, [{ item: 'a' }, wrong]),
  publish: (bus: Bus) => bus.publish(shop.sold, wrong),
  publishAll: (bus: Bus) => bus.publishAll(shop.sold, [wrong]),
  broadcast: (bus: Bus) => bus.broadcast(shop.closing, wrong),
  listen: (bus: Bus) => bus.listen(shop.sold, { as: '?' }, () => {}),
  serve: (bus: Bus) => bus.serve(shop, wrong),
};
