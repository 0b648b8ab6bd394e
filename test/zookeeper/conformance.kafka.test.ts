/** Runs the conformance suites of registry and settings on a real ZooKeeper. */
import { conformsToRegistry } from '../conformance/registry';
import { conformsToSettings } from '../conformance/settings';
import { openZookeeperRig } from '../support/zookeeper-ports';
import { zookeeperSuite } from './suite';

zookeeperSuite('on ZooKeeper', (suite) => {
  const openRig = () => openZookeeperRig(suite.connect, suite.ns);
  conformsToRegistry('zookeeper', openRig, { testMs: 300_000 });
  conformsToSettings('zookeeper', openRig, { testMs: 300_000 });
});
