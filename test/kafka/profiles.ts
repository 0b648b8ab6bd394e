/** Rounds of faults as tests: one of each, on a cluster with the broker session of the profile. */
import type { Cluster } from '../cluster/cluster';
import { kafkaSuite } from '../cluster/suite';
import { clusterOf, faults, profiles, runRound } from './faultrounds';
import { brokenIn } from './faulttable';

const startMs = 300_000;
const roundMs = 300_000;

/** Each fault in turn under the load of the profile. */
export function roundsOf(profileName: keyof typeof profiles, chosen: readonly (keyof typeof faults)[]): void {
  kafkaSuite(
    `faults with the profile ${profileName}`,
    (suite) => {
      const profile = profiles[profileName];
      let cluster: Cluster;
      beforeAll(async () => {
        cluster = await clusterOf(profile);
      }, startMs);
      afterAll(() => cluster.close());

      test.each(chosen)(
        '%s: every accepted job is read within 10 s and in order, and no process that lives repeats one',
        async (name) => {
          const ns = `${suite.namespace}-${name}`;
          const report = await runRound({ cluster, profile, fault: faults[name], ns });
          expect(report.accepted).toBeGreaterThan(0);
          expect(brokenIn(report)).toEqual([]);
        },
        roundMs,
      );
    },
    { alone: true, jars: true, tools: true },
  );
}
