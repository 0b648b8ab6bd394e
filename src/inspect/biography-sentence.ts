/** Describes the current state of a message in one sentence, with its cause and the commands to run next. */
import { causeLines, type Behind } from '../base/errors';
import type { HeldInQueue } from '../bus/self-message';
import { spanText } from '../format/amounts';
import { statusesOf } from './instances';
import type { PlaceView } from './types';
import type { Facts, LaneView, OnInstance } from './why';

/** The end of a sentence about a message, and the commands to run next. */
export interface Said {
  readonly text: string;
  readonly next: readonly string[];
}

export function sentenceOf(facts: Facts): Said {
  const places = facts.found.flatMap(({ places }) => places);
  const clauses = places.map((place) => placeClause(facts, place));
  // A repeated record of the same message is settled as a copy, so its state is that of the others.
  const open = clauses.filter((_clause, i) => places[i]?.state !== 'settled');
  // The last record of a settled message is the newest replay.
  const shown = open.length > 0 ? open : clauses.slice(-1);
  if (shown.length > 0) {
    return {
      text: `${shown.map(({ text }) => text).join('; ')}.`,
      next: [...new Set(shown.flatMap(({ next }) => next))],
    };
  }
  return requestSentence(facts) ?? lostSentence(facts);
}

function placeClause(facts: Facts, place: PlaceView): Said {
  const { queue, state, parked } = place;
  const held = facts.held.find((one) => one.queue === queue);
  const lane = facts.lanes.find((one) => one.queue === queue);
  const behind =
    lane && lane.after > 0 ? `. ${many(lane.after)} of key ${lane.key} wait${one(lane.after)} behind it` : '';
  if (parked && state === 'parked') {
    const since = spanText(facts.nowMs - parked.parkedAtMs);
    const text = `is parked in ${queue} since ${since}, after ${attempts(parked.attemptCount)}: ${parked.reason}`;
    return { text, next: [`busbar replay ${queue} ${facts.id}`] };
  }
  if (state === 'settled') return { text: settledClause(facts, place), next: [] };
  const skip = lane && lane.after > 0 ? [`busbar skip ${queue} ${facts.id}`] : [];
  if (held?.state === 'running') {
    const since = spanText(facts.nowMs - (held.sinceMs ?? facts.nowMs));
    const note = held.note === '' ? '' : `: ${held.note}`;
    const text = `runs on ${held.on} for ${since}, attempt ${held.attempts + 1} of ${held.attemptsMax}${note}${behind}`;
    return { text, next: skip };
  }
  if (held?.state === 'backoff') {
    const last = held.failures.at(-1);
    const error = last ? `, the last with "${withCauses(last.error, last)}"` : '';
    const due = `its next attempt on ${held.on} is due in ${spanText(held.dueInMs ?? 0)}`;
    return { text: `failed ${held.attempts} of ${held.attemptsMax} attempts${error}; ${due}${behind}`, next: skip };
  }
  if (held?.state === 'ending') return { text: `has ended on ${held.on}, which is recording that`, next: [] };
  return waitingClause(facts, place, held, lane);
}

function waitingClause(
  { heads, instances, nowMs, id }: Facts,
  { queue, unserved, state, on }: PlaceView,
  held: (HeldInQueue & OnInstance) | undefined,
  lane: LaneView | undefined,
): Said {
  const module = queue.slice(0, queue.indexOf('.'));
  const takers = [...statusesOf(queue, instances)];
  if (takers.length === 0) {
    return {
      text: `waits in ${queue}: no instance of ${module} handles the queue`,
      next: [`busbar instances ${module}`],
    };
  }
  if (state === 'running') return { text: `runs on ${on ?? '?'}`, next: [] };
  if (unserved) return { text: `waits in ${queue}: no instance knows its entry`, next: [`busbar skip ${queue} ${id}`] };
  const head = lane?.head === null ? undefined : lane?.head;
  if (lane && head !== undefined) {
    const doing = heads.find((one) => one.id === head);
    const what = doing ? headText(doing, nowMs) : `which waits${lane.owner === null ? '' : ` on ${lane.owner}`}`;
    const others = lane.before > 1 ? ` and ${many(lane.before - 1)} more` : '';
    const text = `waits in ${queue} behind ${head}${others} of the same key ${lane.key}: ${what}`;
    return { text, next: [`busbar why ${head}`, `busbar skip ${queue} ${head}`] };
  }
  if (held?.heldBy === 'paused')
    return { text: `waits in ${queue}, which is paused`, next: [`busbar resume ${queue}`] };
  if (held)
    return {
      text: `waits in ${queue} on ${held.on}: its handlers are busy, or its rate limit is reached`,
      next: [`busbar running ${queue}`],
    };
  const owner = lane?.owner ?? null;
  const where = owner === null ? '' : `: ${owner} has not read it yet`;
  return { text: `waits in ${queue}${where}`, next: [`busbar running ${queue}`] };
}

function headText(
  { state, on, attempts: ended, attemptsMax, sinceMs, dueInMs, note }: HeldInQueue & OnInstance,
  nowMs: number,
): string {
  const tries = `attempt ${Math.min(ended + 1, attemptsMax)} of ${attemptsMax}`;
  switch (state) {
    case 'running':
      return `it runs on ${on} for ${spanText(nowMs - (sinceMs ?? nowMs))}, ${tries}${note === '' ? '' : ` (${note})`}`;
    case 'backoff':
      return `it failed on ${on}, and ${tries} is due in ${spanText(dueInMs ?? 0)}`;
    case 'ending':
      return `it is ending on ${on}`;
    case 'waiting':
      return `it waits on ${on}`;
  }
}

function settledClause({ ended, nowMs }: Facts, { queue, repaired }: PlaceView): string {
  if (repaired)
    return `was parked in ${queue}, then ${repaired.how} ${spanText(nowMs - repaired.atMs)} ago by ${repaired.by}`;
  const last = ended.findLast(({ kind }) => kind === 'job');
  if (!last) return `is settled in ${queue}: it was handled, or parked and repaired`;
  const ago = spanText(Math.max(0, nowMs - last.atMs));
  return `was ${last.outcome} ${ago} ago by ${last.on} in ${queue}, in ${spanText(last.tookMs)}`;
}

/** Returns the sentence about a request, which no log stores. Returns undefined for any other message. */
function requestSentence({ pending, running, waiting, ended, nowMs }: Facts): Said | undefined {
  const [sent] = pending;
  const [runs] = running;
  const [waits] = waiting;
  if (runs) {
    const gone = ended.find(({ kind }) => kind === 'call');
    const until = runs.leftMs === null ? '' : `; its caller waits for ${spanText(runs.leftMs)} more`;
    const left = gone ? `; for its caller it ended with ${gone.outcome}` : until;
    const note = runs.note === '' ? '' : `: ${runs.note}`;
    const from = runs.from === null ? '' : ` of ${runs.from}`;
    return {
      text: `is a request${from} that runs on ${runs.on} for ${spanText(runs.forMs)}${note}${left}.`,
      next: ['busbar pending'],
    };
  }
  if (waits) {
    const limit = `(concurrency ${waits.concurrency})`;
    const text = `is a request of ${waits.from} that waits on ${waits.on} for a handler ${limit}.`;
    return { text, next: [`busbar running ${waits.entry}`] };
  }
  if (sent) {
    const where =
      sent.to === null ? 'waits for an instance of its module' : `was sent to ${sent.to}, which has not answered`;
    return { text: `is a request of ${sent.on} that ${where}.`, next: ['busbar pending'] };
  }
  const answered = ended.find(({ kind }) => kind === 'request');
  const received = ended.find(({ kind }) => kind === 'call');
  const last = received ?? answered;
  if (!last) return undefined;
  const ago = spanText(Math.max(0, nowMs - last.atMs));
  const caller = received?.on ?? answered?.peer ?? 'a caller';
  const responder = answered?.on ?? received?.peer ?? 'no instance';
  const end = `it ended ${ago} ago with ${last.outcome} after ${spanText(last.tookMs)}`;
  const text = `was a request of ${caller} to ${responder}; ${end}.`;
  return { text, next: [] };
}

/** Returns the sentence about a message that is in no log and in the memory of no instance. */
function lostSentence({ repaired, ended, children, madeMs, nowMs, keepMs, silent, id }: Facts): Said {
  const [repair] = repaired;
  if (repair) {
    const why = repair.reason === undefined ? '' : `, reason: ${repair.reason}`;
    const ago = spanText(nowMs - repair.atMs);
    const text = `was parked in ${repair.queue}, then ${repair.how} ${ago} ago by ${repair.by}${why}.`;
    return { text, next: [] };
  }
  const last = ended.at(-1);
  if (last) {
    const text = `left the logs; ${last.on} reports that it was ${last.outcome} ${spanText(nowMs - last.atMs)} ago.`;
    return { text, next: [] };
  }
  const made = madeMs === null ? '' : `Its id was made ${spanText(Math.max(0, nowMs - madeMs))} ago. `;
  const kept = Math.max(0, ...keepMs.flatMap((topic) => topic.keepMs ?? []));
  const limit = kept === 0 ? '' : `, and settled messages for at most ${spanText(kept)} after they were sent`;
  const caused =
    children.length > 0
      ? `Its handler ran: ${many(children.length)} name${one(children.length)} it as the cause. `
      : '';
  const missing = silent.length > 0 ? `Not asked: ${silent.join(', ')}, which did not answer. ` : '';
  const text = [
    'is in no log and in the memory of no instance. ',
    made,
    caused,
    missing,
    `Requests and broadcasts are not stored${limit}. It can also wait in the spool of a machine.`,
  ].join('');
  return { text, next: [`busbar history --audit --id ${id}`, 'busbar spool'] };
}

/** Returns the line with the causes that it does not contain yet. */
export function withCauses(line: string, error: Behind): string {
  return causeLines(error).reduce((text, cause) => (text.includes(cause) ? text : `${text}; cause: ${cause}`), line);
}

export function many(count: number): string {
  return count === 1 ? '1 message' : `${count} messages`;
}
/** Returns the ending of a verb after {@link many}. */
function one(count: number): string {
  return count === 1 ? 's' : '';
}
function attempts(count: number): string {
  return count === 1 ? '1 attempt' : `${count} attempts`;
}
