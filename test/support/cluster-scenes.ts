/** Scenes of the suites that stop servers: each test has its own, and all servers run again after it. */
import { openScene, type Scene } from '../bus/processes';
import type { KafkaSuite } from '../cluster/suite';
import { Jobs } from '../kafka/jobs';
import { LogScene } from './append-ledger';

/** Opens a scene in a fresh namespace before each test, and passes it to `use`. */
function eachScene<S extends { close(): Promise<void> }>(
  suite: KafkaSuite,
  open: (ns: string) => S,
  use: (scene: S) => void | Promise<void>,
): void {
  let scenes = 0;
  let scene: S;
  beforeEach(() => {
    scene = open(`${suite.namespace}-${++scenes}`);
    return use(scene);
  });
  afterEach(async () => {
    await suite.cluster.mend();
    await scene.close();
  });
}
export function openBusScene({ brokers, zookeeper }: KafkaSuite['cluster'], ns: string, sessionMs: number): Scene {
  return openScene({ transport: 'kafka', brokers: brokers.split(','), zookeeper, ns, sessionMs });
}

export function eachBusScene(suite: KafkaSuite, sessionMs: number, use: (scene: Scene) => void): void {
  eachScene(suite, (ns) => openBusScene(suite.cluster, ns, sessionMs), use);
}

export function eachJobScene(suite: KafkaSuite, sessionMs: number, use: (scene: Scene, jobs: Jobs) => void): void {
  function open(ns: string) {
    const scene = openBusScene(suite.cluster, ns, sessionMs);
    const jobs = new Jobs(scene, suite.cluster.brokers, ns);
    return { scene, jobs, close: () => jobs.close().then(() => scene.close()) };
  }
  eachScene(suite, open, ({ scene, jobs }) => use(scene, jobs));
}

export function eachLogScene(suite: KafkaSuite, use: (scene: LogScene) => void): void {
  eachScene(
    suite,
    (ns) => new LogScene(suite.cluster.brokers, `${ns}.f.work`),
    (scene) => {
      use(scene);
      return scene.start();
    },
  );
}
