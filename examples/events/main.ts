/** A shop publishes orders. A named listener receives every order, a plain listener those of the time it runs. */
import { EventEmitter, once } from 'node:events';
import { defineModule, event, openBus } from 'busbar';
import { z } from 'zod';

const shop = defineModule('shop', {
  ordered: event(z.object({ order: z.number() })),
});

const ns = 'example-events'; // keeps this program apart from the other buses of your user
const publisher = await openBus({ module: shop, ns });
const office = await openBus({ module: 'office', ns });
const handled = new EventEmitter(); // only lets this program wait for its own listeners

// Named: its events are stored for it. Instances of `office` that listen under this name share them.
const listenAsMailer = () =>
  office.listen(shop.ordered, { as: 'mailer' }, ({ order }) => {
    console.log(`mailer: order ${order}`);
    handled.emit('mailer');
  });
// Plain: every instance that listens receives every event, while it runs.
await office.listen(shop.ordered, ({ order }) => {
  console.log(`screen: order ${order}`);
  handled.emit('screen');
});

// A listener receives what is published after `listen` resolved, so listen first.
const mailer = await listenAsMailer();
const both = Promise.all([once(handled, 'mailer'), once(handled, 'screen')]);
await publisher.publish(shop.ordered, { order: 1 });
await both;

// While the mailer is away, its events wait in the log.
await mailer.close();
console.log('the mailer is closed');
const seen = once(handled, 'screen');
await publisher.publish(shop.ordered, { order: 2 });
await seen;

console.log('the mailer is back');
const mailed = once(handled, 'mailer');
await listenAsMailer();
await mailed;

await office.close();
await publisher.close();
