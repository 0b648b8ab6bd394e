import { ForeignMembersError } from '../../../src/kafka/group/foreign-members';
import { JoinRound } from '../../../src/kafka/group/join-round';
import { encodeSubscription, protocolName } from '../../../src/kafka/group/subscription';
import { KafkaError } from '../../../src/kafka/protocol/errors';
import type { JoinGroupRequest } from '../../../src/kafka/protocol/types';
import { FakeKafka } from '../../support/fake-kafka-log';

const of = { group: 'g', topic: 'a.b.work', partitions: 2 };
const sessionMs = 10_000;
let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

function rounds(isMember = false) {
  const metadata = kafka.view('one');
  const round = new JoinRound({ metadata, of, sessionMs, isMember: () => isMember });
  const request = (memberId: string): JoinGroupRequest => {
    const none = { owned: [], giving: [], busy: [], leaving: false, had: [], serves: undefined, misses: new Map() };
    const bytes = encodeSubscription(of.topic, { instance: 'one', round: round.number, ...none });
    const protocols = [{ name: protocolName, metadata: bytes }];
    return { group: 'g', memberId, sessionMs, rebalanceMs: 30_000, protocols };
  };
  /** Joins as a new member: with the id that the coordinator assigns. */
  const join = async () => {
    const refused = (await kafka.refusal(round.join(() => request('')))) as KafkaError;
    return kafka.run(round.join(() => request(refused.memberId ?? '')));
  };
  return { metadata, round, request, join };
}

async function waitAtFormerCoordinator(isMember: boolean) {
  const { metadata, round, request } = rounds(isMember);
  const node = await kafka.run(metadata.coordinator('g'));
  kafka.cluster.script = ({ name }) => (name === 'joinGroup' ? { delayMs: 20_000 } : undefined);
  const waiting = kafka.watch(round.join(() => request('')));
  await kafka.clock.advance(500);
  kafka.cluster.coordinators.set('g', node === 1 ? 2 : 1);
  await kafka.clock.advance(1_000);
  return { waiting, round };
}

describe('the round of a member', () => {
  it('ends with the assignment of this round', async () => {
    const { round, join } = rounds();
    const { node, joined } = await join();
    expect(round.isRunning).toBe(true);
    const assigned = await kafka.run(round.sync(node, joined));
    expect(assigned).toEqual({ partitions: [0, 1], moving: false, round: 2, again: false });
    expect([round.isRunning, round.number]).toEqual([false, 2]);
    round.close();
  });

  it('rejects with CONNECTION when it is abandoned, and the next one uses another connection', async () => {
    const { round, request } = rounds();
    kafka.cluster.script = ({ name }) => (name === 'joinGroup' ? { delayMs: 20_000 } : undefined);
    const waiting = kafka.watch(round.join(() => request('')));
    await kafka.clock.advance(500);
    expect(round.waitedMs).toBe(500);
    round.abandon(new KafkaError('DEADLINE', 'no heartbeat'));
    await kafka.until(() => waiting.settled);
    expect(waiting.error).toMatchObject({ code: 'CONNECTION' });
    expect(String(waiting.error)).toContain('the coordinator of group g did not respond: no heartbeat');
    expect(round.at(1)).toEqual({ node: 1, channel: 'group:g#1' });
    round.close();
  });

  it('of a new member is abandoned within a second when the coordinator has moved', async () => {
    const { waiting, round } = await waitAtFormerCoordinator(false);
    expect(waiting.error).toMatchObject({ code: 'CONNECTION' });
    round.close();
  });

  it('of a member continues when the coordinator has moved, until a heartbeat fails', async () => {
    const { waiting, round } = await waitAtFormerCoordinator(true);
    expect(waiting.settled).toBe(false);
    round.close();
    await kafka.until(() => waiting.settled);
  });

  it('rejects with ForeignMembersError when the leader is no busbar instance', async () => {
    const { round, join } = rounds();
    const { node, joined } = await join();
    kafka.cluster.group('g').sync = () => Promise.resolve(Buffer.from('range'));
    await expect(kafka.refusal(round.sync(node, joined))).resolves.toBeInstanceOf(ForeignMembersError);
    round.close();
  });

  it('rejects with CLOSED when the member closes', async () => {
    const { round, request } = rounds();
    const waiting = kafka.watch(round.join(() => request('')));
    round.close();
    await kafka.until(() => waiting.settled);
    expect(waiting.error).toMatchObject({ code: 'CLOSED' });
  });
});
