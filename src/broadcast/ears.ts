/** Opens one reader of events for each topic, and keeps it open while the topic has a plain listener. */
import { BusError } from '../base/errors';
import { allEnded, closable, type Closable } from '../base/lifecycle';
import type { Event } from '../contract/types';
import type { Run } from '../delivery/deliver';
import type { Topic } from '../ports/log';
import { openEar, type Ear, type EarParts } from './event-listener';

export interface Ears extends Closable {
  /** Resolves when `run` handles everything appended from now on. The returned handle stops the listener. */
  listen(topic: Topic, entry: Event, run: Run): Promise<Closable>;
  /** Events that wait or run. */
  readonly waiting: number;
}

export function openEars(parts: EarParts): Ears {
  const byTopic = new Map<string, Promise<Ear>>();
  const opened = new Set<Ear>();
  let closedAtMs: number | undefined;

  function earOf(topic: Topic): Promise<Ear> {
    const known = byTopic.get(topic.name);
    if (known) return known;
    const opening = openEar(parts, topic);
    byTopic.set(topic.name, opening);
    opening.then(
      (ear) => opened.add(ear),
      () => byTopic.delete(topic.name), // the next listen retries
    );
    return opening;
  }
  async function end(topic: Topic, opening: Promise<Ear>, ear: Ear): Promise<void> {
    // When the close failed and is tried again, the topic can have a new reader.
    if (byTopic.get(topic.name) === opening) byTopic.delete(topic.name);
    await ear.close();
    opened.delete(ear);
  }
  return {
    async listen(topic, entry, run) {
      for (;;) {
        if (closedAtMs !== undefined) throw closed(parts.clock.now() - closedAtMs);
        const opening = earOf(topic);
        const ear = await opening;
        const listener = ear.add(entry, run);
        if (!listener) continue; // the last listener was closed meanwhile, and the reader with it
        return closable(async () => {
          const closing = [listener.close()];
          if (ear.idle) closing.push(end(topic, opening, ear));
          await allEnded(`closing a listener of ${entry.name}`, closing);
        });
      }
    },
    get waiting() {
      return [...opened].reduce((sum, ear) => sum + ear.waiting, 0);
    },
    ...closable(async () => {
      closedAtMs ??= parts.clock.now();
      await Promise.allSettled(byTopic.values()); // a reader that is still opening must not stay open
      const closing = [...opened].map((ear) => ear.close());
      await allEnded('closing the readers of events', closing);
    }),
  };
}

function closed(sinceMs: number): BusError<'Closed'> {
  return new BusError('Closed', 'the bus was closed', { outcome: 'not-sent', sinceMs });
}
