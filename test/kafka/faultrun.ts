/**
 * Runs fault rounds from the command line, and prints a line of JSON for each, or a table at the end:
 * node -r ./test/register.cjs test/kafka/faultrun.ts --profile light,load --fault all,disk --rounds 10 [--table] [--keep DIR]
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clusterOf, faults, profiles, runRound } from './faultrounds';
import type { Report } from './faultreport';
import { brokenIn, tableOf, type Played } from './faulttable';

const { values } = parseArgs({
  options: {
    profile: { type: 'string', default: Object.keys(profiles).join() },
    fault: { type: 'string', default: Object.keys(faults).join() },
    rounds: { type: 'string', default: '1' },
    keep: { type: 'string' },
    table: { type: 'boolean', default: false },
  },
});

/** Shortens each list to its length and its first items. The ledger has the rest. */
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
  const { profile: profileNames, fault, rounds, keep, table } = values;
  const chosen = fault.split(',').map((name) => [name, of(faults, name)] as const);
  const played: Played[] = [];
  for (const profileName of profileNames.split(',')) {
    const profile = of(profiles, profileName);
    const cluster = await clusterOf(profile);
    try {
      for (const [name, run] of chosen) {
        for (let round = 1; round <= Number(rounds); round++) {
          const ns = `${profileName}-${name}-${round}`;
          const dir = keep === undefined ? undefined : join(keep, `${ns}-${Date.now()}`);
          if (dir !== undefined) mkdirSync(dir, { recursive: true });
          const report = await runRound({ cluster, profile, fault: run, ns, ...(dir !== undefined && { dir }) });
          played.push({ profile: profileName, fault: name, report });
          const broken = brokenIn(report);
          if (table) console.error(`${ns}: ${broken.length === 0 ? 'as promised' : broken.join('; ')}`);
          else console.log(JSON.stringify({ profile: profileName, fault: name, round, dir, ...short(report) }));
        }
      }
    } finally {
      await cluster.close();
    }
  }
  if (table) console.log(tableOf(played));
  if (played.some(({ report }) => brokenIn(report).length > 0)) process.exitCode = 1;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
