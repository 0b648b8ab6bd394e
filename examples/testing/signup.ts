/** The module under test: it welcomes new users by a mail, which another module sends. */
import { defineModule, event, request, work, type Bus, type Handlers } from 'busbar';
import { z } from 'zod';

/** Contract of the other module. */
export const mailer = defineModule('mailer', {
  send: request(z.object({ to: z.string() }), z.object({ mailId: z.string() })),
});

export const signup = defineModule('signup', {
  welcome: work(z.object({ user: z.string() }), { attempts: 2, backoffMs: 60_000 }),
  welcomed: event(z.object({ user: z.string(), mailId: z.string() })),
});

// Handlers get their bus as an argument, so that a test can pass one in.
export function signupHandlers(bus: Bus): Handlers<typeof signup> {
  return {
    welcome: async ({ user }) => {
      const { mailId } = await bus.request(mailer.send, { to: user });
      await bus.publish(signup.welcomed, { user, mailId });
    },
  };
}
