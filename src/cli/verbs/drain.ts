/** Implements `busbar drain`, which sends what waits in the spool of a machine to the brokers. */
import type { Emptied } from '../../inspect';
import { exits, type Exit } from '../exit';
import { describeOnce, type LocalDesk } from '../run';
import { count, oneLine, plural } from '../words';
import type { SpoolOptions } from './spool';

/** Interval of the lines about the progress on a terminal. */
const lineMs = 1_000;

export async function drain({ out, signal, nowMs }: LocalDesk, { dir }: SpoolOptions): Promise<Exit> {
  const { drainSpool } = await import('../../inspect');
  let saidMs = nowMs();
  const progress = (state: Emptied): void => {
    if (!out.forPeople || state.left === 0 || nowMs() - saidMs < lineMs) return;
    saidMs = nowMs();
    const why = state.reason === null ? '' : `: ${oneLine(state.reason)}`;
    out.note(`${count(state.sent)} sent, ${count(state.left)} left${why}`);
  };
  const { sent, left, refused, reason } = await drainSpool(dir, {
    signal,
    progress,
    waiting: describeOnce(),
    onNotice(notice) {
      if (notice.type === 'dropped') out.note(`${oneLine(notice.what)} is skipped: ${oneLine(notice.reason)}`);
    },
  });
  if (out.forPeople) out.line(`sent ${plural(sent, 'message')}, ${count(left)} left`);
  else if (out.form === 'lines') {
    const columns = [
      { name: 'SENT', show: () => String(sent) },
      { name: 'LEFT', show: () => String(left) },
      { name: 'REFUSED', show: () => String(refused) },
      { name: 'REASON', show: () => reason ?? '' },
    ];
    await out.list({ columns }, [reason]);
  } else out.value({ sent, left, refused, reason });
  if (refused > 0) {
    out.note(`the brokers refused ${plural(refused, 'message')}, which stay parked in the spool:`);
    out.next('busbar spool');
  }
  if (left === 0) return refused > 0 ? exits.failed : exits.done;
  if (signal.aborted) return exits.interrupted;
  out.note(`${plural(left, 'message')} cannot be sent: ${reason ?? 'the brokers acknowledged none for 30 s'}`);
  return exits.failed;
}
