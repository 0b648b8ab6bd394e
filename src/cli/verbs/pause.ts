/** Implements `busbar pause` and `busbar resume`, which stop and start the handling of a queue. */
import { duration } from '../args';
import { change, type ChangeOptions } from '../change';
import { exits, type Exit } from '../exit';
import type { Desk } from '../run';
import { age, plural, time } from '../words';

export interface PauseOptions extends ChangeOptions {
  readonly for?: string;
}

export async function pause(desk: Desk, name: string, options: PauseOptions): Promise<Exit> {
  const { parts, settings, out, nowMs } = desk;
  const { findPause, pause: store } = await import('../../inspect');
  const forMs = options.for === undefined ? null : duration('--for', options.for);
  const found = await findPause(parts, settings, name);
  const until = forMs === null ? 'until it is resumed' : `for ${age(forMs)}`;
  out.note(`${name} will be paused ${until}: no handler of it starts. Running handlers continue.`);
  await describe(desk, name);
  const details = { for: options.for ?? 'until it is resumed' };
  return change(desk, { verb: 'pause', about: name, details }, options, async () => {
    const untilMs = forMs === null ? null : nowMs() + forMs;
    await store(settings, found, untilMs);
    const end = untilMs === null ? null : time(untilMs).slice(0, 19);
    if (out.forPeople) out.line(`paused ${name}${end === null ? '' : ` until ${end}`}`);
    else
      await out.list(
        {
          columns: [
            { name: 'PAUSED', show: () => name },
            { name: 'UNTIL', show: () => end ?? '' },
          ],
        },
        [name],
      );
    out.note('to end the pause:');
    out.next(`busbar resume ${name}`);
    return { count: 1, exit: exits.done };
  });
}

export async function resume(desk: Desk, name: string, options: ChangeOptions): Promise<Exit> {
  const { parts, settings, out } = desk;
  const { findPause, resume: remove } = await import('../../inspect');
  const found = await findPause(parts, settings, name);
  if (found.found.length === 0) {
    out.note(`${name} is not paused by a setting of its own`);
    const pauses = await pausesIn(desk, name);
    for (const other of pauses) out.next(`busbar resume ${other}`);
    return exits.warning;
  }
  for (const { key, value } of found.found) out.note(`the setting ${key} = ${value} will be removed.`);
  await describe(desk, name);
  return change(desk, { verb: 'resume', about: name }, options, async () => {
    await remove(settings, found);
    if (out.forPeople) out.line(`resumed ${name}`);
    else await out.list({ columns: [{ name: 'RESUMED', show: () => name }] }, [name]);
    return { count: found.found.length, exit: exits.done };
  });
}

/** Prints how many messages the pause concerns. An entry of requests has no queue. */
async function describe({ inspector, out }: Desk, name: string): Promise<void> {
  const [view] = await inspector.queues([name]).catch(() => []);
  if (!view) return;
  const takers = `${plural(view.instances, 'instance')} ${view.instances === 1 ? 'handles' : 'handle'} the queue`;
  out.note(`${plural(view.waiting, 'message')} of ${view.queue} waiting, ${view.running} running; ${takers}.`);
}

/** Returns the names of other settings that pause all or part of the queue. */
async function pausesIn({ inspector }: Desk, name: string): Promise<readonly string[]> {
  const [view] = await inspector.queues([name]).catch(() => []);
  return view?.paused.filter((other) => other !== name) ?? [];
}
