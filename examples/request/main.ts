/** One module answers requests, and another one calls it. Usually each is a process of its own. */
import { defineModule, openBus, request } from 'busbar';
import { z } from 'zod';

// The contract is all that the two sides share. In a project it has a file of its own.
const bank = defineModule('bank', {
  withdraw: request(
    z.object({ cents: z.number().int().positive() }),
    z.object({ leftCents: z.number() }),
    { failures: { TooLittle: z.object({ leftCents: z.number() }) } }, // errors that a caller is expected to handle
  ),
});

const ns = 'example-request'; // keeps this program apart from the other buses of your user

// The side that answers.
const responder = await openBus({ module: bank, ns });
let leftCents = 100;
await responder.serve(bank, {
  withdraw: ({ cents }, { fail }) => {
    if (cents > leftCents) return fail('TooLittle', { leftCents });
    leftCents -= cents;
    return { leftCents };
  },
});

// The side that calls. `request` resolves with the reply, and throws every error.
const caller = await openBus({ module: 'shop', ns });
const reply = await caller.request(bank.withdraw, { cents: 30 });
console.log(`reply: ${reply.leftCents} cents left`);

// `tryRequest` returns errors as values, so that the compiler knows the data of each.
const refused = await caller.tryRequest(bank.withdraw, { cents: 80 });
if (!refused.ok && refused.error.code === 'TooLittle')
  console.log(`refused: only ${refused.error.data.leftCents} cents left`);

// Requests are for running instances. Without one the call fails at once instead of waiting.
await responder.close();
const unanswered = await caller.tryRequest(bank.withdraw, { cents: 1 });
if (!unanswered.ok) console.log(`unanswered: ${unanswered.error.code}`);
await caller.close();
