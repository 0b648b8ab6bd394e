/** Runs the conformance suites of registry and settings on a real ZooKeeper. */
import { conformsToRegistry } from '../conformance/registry';
import { conformsToSettings } from '../conformance/settings';
import { openZookeeperPorts } from '../support/zookeeper-ports';
import { zookeeperSuite } from './suite';

zookeeperSuite('on ZooKeeper', (suite) => {
  const openPorts = () => openZookeeperPorts(suite.connect, suite.ns);
  conformsToRegistry('zookeeper', openPorts, { testMs: 300_000 });
  conformsToSettings('zookeeper', openPorts, { testMs: 300_000 });
});
