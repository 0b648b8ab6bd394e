/** Lists the steps in the biography of a message, from its facts. */
import { spanText } from '../format/amounts';
import { many, withCauses } from './biography-sentence';
import type { Facts } from './why';

/** A step in the biography of a message. */
export interface Step {
  /** Time of the step, in ms since 1970; null for what applies now. */
  readonly atMs: number | null;
  /** A few words, such as `attempt 2`. */
  readonly what: string;
  readonly text: string;
}

/** Returns the steps, in the order of time. Those without a time are the last ones. */
export function stepsOf(facts: Facts): readonly Step[] {
  const steps = [...sentSteps(facts), ...attemptSteps(facts), ...endSteps(facts), ...childSteps(facts)];
  const timed = steps.toSorted((one, other) => (one.atMs ?? Infinity) - (other.atMs ?? Infinity));
  return [...timed, ...nowSteps(facts)];
}

function sentSteps({ found, pending, nowMs }: Facts): Step[] {
  const logs = found.flatMap(({ message }): Step[] => {
    const { sentMs, timeMs, from, cause, topic, partition, offset, replay } = message;
    return [
      {
        atMs: sentMs ?? timeMs,
        what: replay > 0 ? `replay ${replay}` : 'sent',
        text: `by ${from || 'an unknown sender'}${during(cause)}`,
      },
      { atMs: timeMs, what: 'in the log', text: `${topic}/${partition} at ${offset}` },
    ];
  });
  const calls = pending.map(({ on, forMs, to, cause, leftMs }): Step => {
    const until = leftMs === null ? '' : `, for ${spanText(forMs + leftMs)} at most`;
    return {
      atMs: nowMs - forMs,
      what: 'sent',
      text: `by ${on}${to === null ? '' : ` to ${to}`}${during(cause)}${until}`,
    };
  });
  return [...logs, ...calls];
}
function during(cause: string | null): string {
  return cause === null ? '' : `, while it handled ${cause}`;
}

function attemptSteps({ found, held, running }: Facts): Step[] {
  const parked = found.flatMap(({ places }) => places.flatMap((place) => place.parked ?? []));
  const failed = [...held.flatMap(({ failures }) => failures), ...parked.flatMap(({ attempts }) => attempts)];
  const failures = failed.map((one): Step => {
    const text = `failed on ${one.instance}: ${withCauses(one.error, one)}`;
    return { atMs: one.atMs, what: `attempt ${one.attempt}`, text };
  });
  const now = held.flatMap(({ sinceMs, attempts: ended, attemptsMax, on, note }): Step[] => {
    if (sinceMs === null) return [];
    const what = `attempt ${ended + 1}`;
    return [{ atMs: sinceMs, what, text: `of ${attemptsMax}, runs on ${on}${note === '' ? '' : `: ${note}`}` }];
  });
  const requests = running.map(({ on, forMs, note }) => ({ on, forMs, note }));
  return [
    ...failures,
    ...now,
    ...requests.map(({ on, note }): Step => ({
      atMs: null,
      what: 'runs',
      text: `on ${on}${note === '' ? '' : `: ${note}`}`,
    })),
  ];
}

function endSteps({ found, ended, repaired }: Facts): Step[] {
  const places = found.flatMap((one) => one.places);
  const parked = places.flatMap((place): Step[] =>
    place.parked
      ? [
          {
            atMs: place.parked.parkedAtMs,
            what: 'parked',
            text: `in ${place.queue} by ${place.parked.instance}: ${place.parked.reason}`,
          },
        ]
      : [],
  );
  // An instance also reports the parking that the log has.
  const others = ended.filter(({ outcome }) => parked.length === 0 || outcome !== 'parked');
  const ends = others.map(({ atMs, outcome, on, kind, peer, tookMs }): Step => {
    const took = `, in ${spanText(tookMs)}`;
    if (kind === 'job') return { atMs, what: outcome, text: `by ${on}${took}` };
    if (kind === 'request') return { atMs, what: `answered`, text: `by ${on} to ${peer ?? '?'}: ${outcome}${took}` };
    return { atMs, what: 'reply', text: `received by ${on}${peer === null ? '' : ` from ${peer}`}: ${outcome}${took}` };
  });
  const repairs = repaired.map(({ atMs, how, by, queue, reason }): Step => {
    return { atMs, what: how, text: `in ${queue} by ${by}${reason === undefined ? '' : `: ${reason}`}` };
  });
  return [...parked, ...ends, ...repairs];
}

/** Maximum number of children in the timeline. `--tree` shows more. */
const childrenShown = 10;

function childSteps({ children, childrenLeft }: Facts): Step[] {
  const shown = children.slice(0, childrenShown);
  const left = children.length - shown.length + childrenLeft;
  const steps = shown.map(({ sentMs, timeMs, from, entry, id }): Step => {
    return { atMs: sentMs ?? timeMs, what: 'it caused', text: `${entry} ${id}, sent by ${from}` };
  });
  return left === 0 ? steps : [...steps, { atMs: null, what: 'it caused', text: `${left} more` }];
}

/** Returns the steps that are not in the past: the next attempt, and the messages that wait. */
function nowSteps({ held, lanes }: Facts): Step[] {
  const due = held.flatMap(({ dueInMs, attempts: ended, attemptsMax, on }): Step[] =>
    dueInMs === null
      ? []
      : [
          {
            atMs: null,
            what: 'next',
            text: `attempt ${ended + 1} of ${attemptsMax} on ${on}, due in ${spanText(dueInMs)}`,
          },
        ],
  );
  const waits = lanes.flatMap(({ key, before, after, head, owner, queue }): Step[] => {
    const on = owner === null ? 'owned by no instance' : `owned by ${owner}`;
    const ahead =
      head === null
        ? []
        : [
            {
              atMs: null,
              what: 'it waits',
              text: `behind ${many(before)} of key ${key}, the first is ${head}; the partition is ${on}`,
            },
          ];
    const holds =
      after === 0
        ? []
        : [{ atMs: null, what: 'it holds', text: `${many(after)} of key ${key} in ${queue}; other keys go on` }];
    return [...ahead, ...holds];
  });
  return [...due, ...waits];
}
