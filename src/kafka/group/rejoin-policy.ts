/** Maps errors of a member's rounds and heartbeats to its next step: a pure table, without a clock and requests. */
import { KafkaError, type NextStep } from '../protocol/errors';
import { ForeignMembersError } from './foreign-members';

/**
 * Next step after a failed round.
 * `retry`: join again after a pause · `findCoordinator`: the same, at the coordinator that a lookup returns ·
 * `joinAsNewMember`: the group has removed the member, so its partitions are lost · `useAssignedId`: join again at once
 * with the id that the coordinator assigned · `foreignMembers`: leave the group and report its foreign members ·
 * `awaitOperator`: report the error, and retry at a long interval.
 */
export type AfterRound =
  'retry' | 'findCoordinator' | 'joinAsNewMember' | 'useAssignedId' | 'foreignMembers' | 'awaitOperator';

const afterRound: Readonly<Record<NextStep, AfterRound>> = {
  retry: 'retry',
  leader: 'findCoordinator',
  coordinator: 'findCoordinator',
  rejoin: 'retry',
  newMember: 'joinAsNewMember',
  useAssignedId: 'useAssignedId',
  offsetMissing: 'retry',
  rejected: 'retry',
  fatal: 'awaitOperator',
};

/** Returns the next step after a round of the member `memberId` ('' for a new one) has failed. */
export function afterFailedRound(error: unknown, memberId: string): AfterRound {
  if (error instanceof ForeignMembersError) return 'foreignMembers';
  if (!(error instanceof KafkaError)) return 'awaitOperator';
  if (error.code === 'INCONSISTENT_GROUP_PROTOCOL') return 'foreignMembers';
  // The group has started another round. The member keeps its partitions and joins that one.
  if (error.code === 'ILLEGAL_GENERATION') return 'retry';
  const next = afterRound[error.step];
  if (next === 'useAssignedId' && (error.memberId === undefined || memberId !== '')) return 'retry';
  return next;
}

/**
 * Next step after a failed heartbeat.
 * `ignore`: the running round resolves it, or a later heartbeat · `rejoin`: start a round · `abandonRound`: repeat the
 * running round, whose response was lost · `joinAsNewMember`: the group has removed the member · `findCoordinator`:
 * look up the coordinator, and abandon a round that waits at the old one.
 */
export type AfterHeartbeat = 'ignore' | 'rejoin' | 'abandonRound' | 'joinAsNewMember' | 'findCoordinator';

/** State of the member when its heartbeat failed. */
export interface RoundState {
  /** True if no round is running, and the heartbeat had the member's present generation. */
  readonly isSettled: boolean;
  /** Time since the last round began. */
  readonly waitedMs: number;
  readonly sessionMs: number;
}

/**
 * Share of the session after which a join is abandoned if the group has a new generation, but no response has arrived.
 */
const patienceShare = 0.3;

/** Returns the next step after a heartbeat has failed with `error`. */
export function afterFailedHeartbeat(error: KafkaError, state: RoundState): AfterHeartbeat {
  const { isSettled, waitedMs, sessionMs } = state;
  if (error.code === 'ILLEGAL_GENERATION') {
    if (isSettled) return 'rejoin';
    return waitedMs > sessionMs * patienceShare ? 'abandonRound' : 'ignore';
  }
  switch (error.step) {
    case 'rejoin':
      return isSettled ? 'rejoin' : 'ignore';
    case 'newMember':
      return 'joinAsNewMember';
    case 'coordinator':
    case 'leader':
      return 'findCoordinator';
    default:
      return 'ignore';
  }
}
