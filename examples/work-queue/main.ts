/** Two workers share a queue of mails. One mail fails once, and one fails for good. */
import { defineModule, openBus, work } from 'busbar';
import { z } from 'zod';

const mailer = defineModule('mailer', {
  send: work(z.object({ to: z.string(), text: z.string() }), {
    key: (mail) => mail.to, // mails to the same person are sent one after the other, in order
    attempts: 3,
    backoffMs: 100, // wait before the second attempt; it doubles with each attempt
  }),
});

const ns = 'example-work-queue'; // keeps this program apart from the other buses of your user

// A job is durable as soon as `submit` resolves. No worker has to run at that time.
const shop = await openBus({ module: 'shop', ns });
await shop.submitAll(mailer.send, [
  { to: 'ann', text: 'welcome' },
  { to: 'ann', text: 'your order' },
  { to: 'bob', text: 'hello' },
  { to: 'nowhere', text: 'hello' },
]);
console.log('submitted 4 mails');

let open = 4;
let allSettled = (): void => undefined;
const settled = new Promise<void>((resolve) => (allSettled = resolve));
function settle(line: string): void {
  console.log(line);
  if (--open === 0) allSettled();
}

// Each instance usually is a process of its own. Start as many as the work needs.
async function startWorker() {
  const bus = await openBus({ module: mailer, ns, log: false }); // this program prints failures itself
  bus.watch((notice) => {
    if (notice.type === 'parked') settle(`parked after ${notice.attempts} attempts: ${notice.reason}`);
  });
  await bus.serve(mailer, {
    // A job can run more than once, for example after a crash: a repetition must do no harm.
    send: ({ to, text }, { attempt }) => {
      if (to === 'nowhere') throw new Error('there is no mailbox nowhere');
      if (to === 'bob' && attempt === 1) throw new Error('the mail server is busy');
      settle(`sent to ${to}: ${text} (attempt ${attempt})`);
    },
  });
  return bus;
}
const workers = await Promise.all([startWorker(), startWorker()]);
await settled;

// `close` waits until the progress is committed, so that the next start repeats nothing.
await Promise.all([...workers, shop].map((bus) => bus.close()));
