/** Implements `busbar drain`, which sends what waits in the spool of a machine to the brokers. */
import type { Emptied } from '../../inspect';
import { exits, TooSlow, type Exit } from '../exit';
import { describeOnce, type LocalDesk } from '../run';
import { age, count, oneLine, plural } from '../words';
import type { SpoolOptions } from './spool';

/** Interval of the progress on a terminal, where one line is replaced, and elsewhere, where lines are added. */
const liveMs = 250;
const lineMs = 10_000;

export async function drain(desk: LocalDesk, { dir }: SpoolOptions): Promise<Exit> {
  const { out, signal } = desk;
  const { drainSpool } = await import('../../inspect');
  const { sent, left, refused, reason } = await drainSpool(dir, {
    signal,
    progress: reporter(desk),
    waiting: describeOnce(),
    onNotice(notice) {
      if (notice.type === 'dropped') out.note(`${oneLine(notice.what)} is skipped: ${oneLine(notice.reason)}`);
    },
  }).finally(() => out.progress(undefined));
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
  if (signal.aborted) {
    const why = signal.reason instanceof TooSlow ? 'the time of --timeout is over' : 'interrupted';
    out.note(`${why}: ${plural(left, 'message')} stay in the spool. Send them with the same command`);
    return exits.interrupted;
  }
  out.note(`${plural(left, 'message')} cannot be sent: ${reason ?? 'the brokers acknowledged none for 30 s'}`);
  return exits.failed;
}

/** Returns a function that shows the progress: what was sent, how fast, and how long the rest takes at this rate. */
function reporter({ out, nowMs }: LocalDesk): (progress: Emptied) => void {
  const startMs = nowMs();
  let saidMs = startMs;
  return ({ sent, left, reason }) => {
    const atMs = nowMs();
    if (left === 0 || atMs - saidMs < (out.isLive ? liveMs : lineMs)) return;
    saidMs = atMs;
    const perSecond = (1_000 * sent) / (atMs - startMs);
    const rate = sent === 0 ? '' : `, ${count(Math.round(perSecond))}/s, about ${age((1_000 * left) / perSecond)}`;
    const why = reason === null ? '' : `: ${oneLine(reason)}`;
    out.progress(`${count(sent)} sent, ${count(left)} left${rate}${why}`);
  };
}
