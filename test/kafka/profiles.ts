/** Declares fault rounds as tests, on a cluster with the broker session of the profile. */
import type { Cluster } from '../cluster/cluster';
import { kafkaSuite } from '../cluster/suite';
import { clusterOf, faults, profiles, runRound } from './faultrounds';
import { brokenIn } from './faulttable';

const startMs = 300_000;
const roundMs = 300_000;

/** Declares a test for each fault under the load of the profile. */
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
        'after the fault %s, jobs are read within 10 s, in order, without unjustified repeats',
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
