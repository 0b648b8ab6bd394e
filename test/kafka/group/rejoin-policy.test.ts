import { ForeignMembersError } from '../../../src/kafka/group/foreign-members';
import { afterFailedHeartbeat, afterFailedRound } from '../../../src/kafka/group/rejoin-policy';
import { KafkaError } from '../../../src/kafka/protocol/errors';

describe('the step after a failed round', () => {
  it.each([
    ['COORDINATOR_LOAD_IN_PROGRESS', 'retry'],
    ['REBALANCE_IN_PROGRESS', 'retry'],
    ['ILLEGAL_GENERATION', 'retry'],
    ['NOT_COORDINATOR', 'findCoordinator'],
    ['CONNECTION', 'findCoordinator'],
    ['DEADLINE', 'findCoordinator'],
    ['UNKNOWN_MEMBER_ID', 'joinAsNewMember'],
    ['FENCED_INSTANCE_ID', 'joinAsNewMember'],
    ['INCONSISTENT_GROUP_PROTOCOL', 'foreignMembers'],
    ['GROUP_AUTHORIZATION_FAILED', 'awaitOperator'],
    ['GROUP_MAX_SIZE_REACHED', 'awaitOperator'],
    ['AN_UNKNOWN_ERROR', 'retry'],
  ])('follows the error %s: %s', (code, next) => {
    expect(afterFailedRound(new KafkaError(code, 'group g'), 'm-1')).toBe(next);
  });

  it('uses an assigned id only as a new member', () => {
    const assigned = new KafkaError('MEMBER_ID_REQUIRED', 'group g', { memberId: 'm-1' });
    expect(afterFailedRound(assigned, '')).toBe('useAssignedId');
    expect(afterFailedRound(assigned, 'm-0')).toBe('retry');
    expect(afterFailedRound(new KafkaError('MEMBER_ID_REQUIRED', 'group g'), '')).toBe('retry');
  });

  it('reports foreign members, and awaits an operator after a defect', () => {
    expect(afterFailedRound(new ForeignMembersError('generation 1 of g'), 'm-1')).toBe('foreignMembers');
    expect(afterFailedRound(new TypeError('x is undefined'), 'm-1')).toBe('awaitOperator');
  });
});

describe('the step after a failed heartbeat', () => {
  const settled = { isSettled: true, waitedMs: 5_000, sessionMs: 10_000 };
  const waiting = { isSettled: false, waitedMs: 2_999, sessionMs: 10_000 };
  const overdue = { ...waiting, waitedMs: 3_001 };
  it.each([
    ['REBALANCE_IN_PROGRESS', settled, 'rejoin'],
    ['REBALANCE_IN_PROGRESS', overdue, 'ignore'],
    ['ILLEGAL_GENERATION', settled, 'rejoin'],
    ['ILLEGAL_GENERATION', waiting, 'ignore'],
    ['ILLEGAL_GENERATION', overdue, 'abandonRound'],
    ['UNKNOWN_MEMBER_ID', waiting, 'joinAsNewMember'],
    ['NOT_COORDINATOR', settled, 'findCoordinator'],
    ['CONNECTION', waiting, 'findCoordinator'],
    ['COORDINATOR_LOAD_IN_PROGRESS', settled, 'ignore'],
    ['GROUP_AUTHORIZATION_FAILED', settled, 'ignore'],
  ])('follows the error %s in the state %o: %s', (code, state, next) => {
    expect(afterFailedHeartbeat(new KafkaError(code, 'group g'), state)).toBe(next);
  });
});
