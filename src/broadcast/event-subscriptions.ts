/** Opens one reader of events for each topic, and keeps it open while the topic has a plain listener. */
import { BusError } from '../base/errors';
import { allEnded, closable, type Closable } from '../base/lifecycle';
import type { Event } from '../contract/types';
import type { Run } from '../delivery/deliver';
import type { Topic } from '../ports/log';
import { openEventSubscription, type EventSubscription, type EventSubscriptionParts } from './event-subscription';

export interface EventSubscriptions extends Closable {
  /** Resolves when `run` handles everything appended from now on. The returned handle stops the listener. */
  listen(topic: Topic, entry: Event, run: Run): Promise<Closable>;
  /** Events that wait or run. */
  readonly waiting: number;
}

export function openEventSubscriptions(parts: EventSubscriptionParts): EventSubscriptions {
  const byTopic = new Map<string, Promise<EventSubscription>>();
  const opened = new Set<EventSubscription>();
  let closedAtMs: number | undefined;

  function subscriptionOf(topic: Topic): Promise<EventSubscription> {
    const known = byTopic.get(topic.name);
    if (known) return known;
    const opening = openEventSubscription(parts, topic);
    byTopic.set(topic.name, opening);
    opening.then(
      (subscription) => opened.add(subscription),
      () => byTopic.delete(topic.name), // the next listen retries
    );
    return opening;
  }
  async function end(
    topic: Topic,
    opening: Promise<EventSubscription>,
    subscription: EventSubscription,
  ): Promise<void> {
    // When the close failed and is tried again, the topic can have a new reader.
    if (byTopic.get(topic.name) === opening) byTopic.delete(topic.name);
    await subscription.close();
    opened.delete(subscription);
  }
  return {
    async listen(topic, entry, run) {
      for (;;) {
        if (closedAtMs !== undefined) throw closed(parts.clock.now() - closedAtMs);
        const opening = subscriptionOf(topic);
        const subscription = await opening;
        const listener = subscription.add(entry, run);
        if (!listener) continue; // the last listener was closed meanwhile, and the reader with it
        return closable(async () => {
          const closing = [listener.close()];
          if (subscription.idle) closing.push(end(topic, opening, subscription));
          await allEnded(`closing a listener of ${entry.name}`, closing);
        });
      }
    },
    get waiting() {
      return [...opened].reduce((sum, subscription) => sum + subscription.waiting, 0);
    },
    ...closable(async () => {
      closedAtMs ??= parts.clock.now();
      await Promise.allSettled(byTopic.values()); // a reader that is still opening must not stay open
      const closing = [...opened].map((subscription) => subscription.close());
      await allEnded('closing the readers of events', closing);
    }),
  };
}

function closed(sinceMs: number): BusError<'Closed'> {
  return new BusError('Closed', 'the bus was closed', { outcome: 'not-sent', sinceMs });
}
