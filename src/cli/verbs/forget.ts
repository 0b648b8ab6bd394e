/**
 * Implements `busbar forget`, which deletes a named listener that will not return, so that no events are kept for it.
 */
import { change, type ChangeOptions } from '../change';
import { exits, type Exit } from '../exit';
import type { Desk } from '../run';
import { age, plural } from '../words';

export type ForgetOptions = ChangeOptions;

export async function forget(desk: Desk, name: string, options: ForgetOptions): Promise<Exit> {
  const { out, parts, inspector } = desk;
  const { findListener, forgetListener } = await import('../../inspect');
  const listener = await findListener(parts, name);
  const [view] = await inspector.queues([listener.queue]);
  const waiting = plural(view?.waiting ?? 0, 'event');
  const since = view?.oldestMs === null || view === undefined ? '' : `, the oldest for ${age(view.oldestMs)}`;
  const wait = view?.waiting === 1 ? 'waits' : 'wait';
  out.note(
    `${waiting} ${wait} for ${listener.queue}${since}: it will not receive them, and later events do not wait for it.`,
  );
  if (view && view.parked > 0) out.note(`${plural(view.parked, 'parked event')} of it stay parked.`);
  return change(desk, { verb: 'forget', about: listener.queue }, options, async () => {
    await forgetListener(parts, listener);
    if (out.forPeople) out.line(`forgot ${listener.queue}`);
    else await out.list({ columns: [{ name: 'FORGOTTEN', show: (queue: string) => queue }] }, [listener.queue]);
    return { count: 1, exit: exits.done };
  });
}
