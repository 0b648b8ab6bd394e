/** Placing the nodes of an instance on a fake connection, without a session. */
import { openNotices } from '../../../src/base/notices';
import { virtualClock } from '../../../src/memory/clock';
import { pathsOf } from '../../../src/zookeeper/paths';
import { announcementOf } from '../../../src/zookeeper/registry/announcement';
import { OwnNodes } from '../../../src/zookeeper/registry/own-nodes';
import type { Change, Connection, Node } from '../../../src/zookeeper/session/connection';
import { codes, LostError, ServerError } from '../../../src/zookeeper/session/errors';
import { instance } from '../../support/zookeeper-sessions';

const paths = pathsOf('main');
const photos = instance('photos#1');
const byName = paths.instance(photos.name);
const byContract = Object.keys(photos.serves).map(
  (contract) => `${paths.contract(contract)}/${announcementOf(photos).node}`,
);

function scene() {
  const nodes = new Map<string, Node>();
  const changed: Change[][] = [];
  const refusals: Error[] = [];
  const warnings: string[] = [];
  let touches = 0;
  const notices = openNotices();
  notices.watch((notice) => void (notice.type === 'log' && warnings.push(notice.message)));
  const connectionOf = (session: string): Connection =>
    ({
      session,
      exists: async () => true,
      read: async (path: string) => nodes.get(path),
      async change(changes: Change[]) {
        const refusal = refusals.shift();
        if (refusal) throw refusal;
        changed.push(changes);
        for (const change of changes) {
          if (change.do === 'remove') nodes.delete(change.path);
          else nodes.set(change.path, { data: change.data, version: 0, owner: session });
        }
      },
    }) as unknown as Connection; // all that the nodes use
  const own = new OwnNodes({ clock: virtualClock(), notices, paths, touched: () => touches++ });
  return { own, nodes, changed, refusals, warnings, connectionOf };
}

test('creates a node by name and one for each contract in one transaction, and removes them', async () => {
  const { own, nodes, changed, connectionOf } = scene();
  own.mine = photos;
  await own.place(connectionOf('one'));
  expect([...nodes.keys()]).toEqual([byName, ...byContract]);
  own.mine = undefined;
  await own.place(connectionOf('one'));
  expect([...nodes.keys()]).toEqual([]);
  expect(changed).toHaveLength(2);
});

test('recreates the nodes of an earlier session, and reports nodes that another client removed', async () => {
  const { own, nodes, warnings, connectionOf } = scene();
  own.mine = photos;
  await own.place(connectionOf('one'));
  await own.place(connectionOf('two'));
  expect([...nodes.values()].map(({ owner }) => owner)).toEqual(['two', ...byContract.map(() => 'two')]);
  expect(warnings).toEqual([]);
  nodes.delete(byName);
  await own.place(connectionOf('two'));
  expect(nodes.has(byName)).toBe(true);
  expect(warnings).toEqual([expect.stringContaining('another client changed or removed the announcement')]);
});

test('rejects with Conflict while another run owns the name', async () => {
  const { own, nodes, connectionOf } = scene();
  nodes.set(byName, { data: '', version: 0, owner: 'other' });
  own.mine = photos;
  await expect(own.place(connectionOf('one'))).rejects.toMatchObject({
    code: 'Conflict',
    details: { key: photos.name },
  });
});

test('retries when a folder is missing, at most five times', async () => {
  const { own, nodes, refusals, connectionOf } = scene();
  own.mine = photos;
  refusals.push(new ServerError(codes.noNode, byName));
  await own.place(connectionOf('one'));
  expect(nodes.has(byName)).toBe(true);
  nodes.clear();
  refusals.push(...Array.from({ length: 5 }, () => new ServerError(codes.nodeExists, byName)));
  await expect(own.place(connectionOf('one'))).rejects.toThrow(LostError);
});
