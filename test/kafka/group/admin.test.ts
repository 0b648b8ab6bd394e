import type { ClusterMetadata } from '../../../src/kafka/cluster/metadata';
import type { Topics } from '../../../src/kafka/cluster/topics';
import { Groups } from '../../../src/kafka/group/admin';

test('a group that two brokers list while its coordinator moves is returned once', async () => {
  const group = 't.photos.work';
  const client = {
    listGroups: async () => [{ group, protocolType: 'consumer' }],
    describeGroups: async () => [{ group, error: null, members: [] }],
    offsetFetch: async () => [{ topic: group, partition: 0, offset: 1, metadata: '', error: null }],
  };
  // The casts: listing groups uses nothing else of these two.
  const metadata = {
    parts: { client },
    nodes: async () => [1, 2, 3],
    coordinator: async () => 1,
    withRetries: (_what: string, run: () => Promise<unknown>) => run(),
  } as unknown as ClusterMetadata;
  const groups = new Groups(metadata, {} as Topics);
  expect(await groups.all('t.')).toEqual([{ group, topic: group }]);
});
