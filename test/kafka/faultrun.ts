/**
 * Rounds of faults from the command line, a line of JSON for each:
 * node -r ./test/register.cjs test/kafka/faultrun.ts --profile light --fault all,disk --rounds 10 [--keep DIR]
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clusterOf, faults, profiles, runRound } from './faultrounds';
import type { Report } from './faultreport';

const { values } = parseArgs({
  options: {
    profile: { type: 'string', default: 'light' },
    fault: { type: 'string', default: Object.keys(faults).join() },
    rounds: { type: 'string', default: '1' },
    keep: { type: 'string' },
  },
});

/** Lists as their length and their first items: what is long is in the ledger. */
function short(report: Report): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(report).map(([name, value]) => [
      name,
      Array.isArray(value) && value.length > 0 ? { count: value.length, first: value.slice(0, 3) } : value,
    ]),
  );
}

function of<T>(table: Readonly<Record<string, T>>, name: string): T {
  const found = table[name];
  if (found === undefined) throw new Error(`${name} is not one of ${Object.keys(table).join(', ')}`);
  return found;
}

async function main(): Promise<void> {
  const { profile: profileName, fault, rounds, keep } = values;
  const profile = of(profiles, profileName);
  const chosen = fault.split(',').map((name) => [name, of(faults, name)] as const);
  const cluster = await clusterOf(profile);
  try {
    for (let round = 1; round <= Number(rounds); round++) {
      for (const [name, run] of chosen) {
        const ns = `${profileName}-${name}-${round}`;
        const dir = keep === undefined ? undefined : join(keep, `${ns}-${Date.now()}`);
        if (dir !== undefined) mkdirSync(dir, { recursive: true });
        const report = await runRound({ cluster, profile, fault: run, ns, ...(dir !== undefined && { dir }) });
        console.log(JSON.stringify({ profile: profileName, fault: name, round, dir, ...short(report) }));
      }
    }
  } finally {
    await cluster.close();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
