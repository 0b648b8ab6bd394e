/** Measures calls in interleaved rounds: one at a time for latency, many at a time for throughput. */

export interface Line {
  readonly scenario: string;
  readonly transport: string;
  readonly wire: string;
  readonly subject: string;
  readonly outstanding: number;
  readonly per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** CPU microseconds per message, of all participating processes. */
  readonly cpu_us: number;
  readonly rounds: number;
  /** (largest - smallest) / median of the main figure: p50 with one outstanding call, otherwise per_s. */
  readonly spread: number;
  /** Bytes of metadata in a commit, where that is measured. */
  readonly commit_bytes?: number;
  /** Growth of the memory in MB, where that is measured: all of it, and without mapped files. */
  readonly rss_mb?: number;
  readonly anon_mb?: number;
}
/** One round of one subject. */
export interface Round {
  readonly perS: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuUs: number;
}
/** A measured system. `call` resolves when its reply was checked; `cpuUs` is the CPU time of all its processes so far. */
export interface Subject {
  readonly name: string;
  call(): Promise<void>;
  cpuUs(): Promise<number>;
  close(): Promise<void>;
}

/** A participant of a measurement, in this process or in another one. */
export interface Contender {
  readonly name: string;
  round(outstanding: number, total: number, each: number): Promise<Round>;
}
export function here(subject: Subject): Contender {
  return { name: subject.name, round: (outstanding, total, each) => round(subject, outstanding, total, each) };
}

/** Measures the contenders in turns, so that other load on the machine affects all alike. The first round warms up. */
export async function interleaved(
  { rounds: count, say }: { readonly rounds: number; readonly say: (progress: string) => void },
  scenario: string,
  contenders: readonly Contender[],
  { outstanding, total, each = 1 }: { readonly outstanding: number; readonly total: number; readonly each?: number },
  way = embedded,
): Promise<Line[]> {
  const results = new Map<Contender, Round[]>(contenders.map((contender) => [contender, []]));
  for (let n = 0; n <= count; n++) {
    for (const [contender, rounds] of results) {
      const result = await contender.round(outstanding, total, each);
      if (n > 0) rounds.push(result);
      say(
        `${scenario} ${contender.name} × ${outstanding}: round ${n} of ${count}, ` +
          `${Math.round(result.perS)}/s, p50 ${to(3, result.p50Ms)} ms`,
      );
    }
  }
  return [...results].map(([{ name }, rounds]) => lineOf(scenario, name, outstanding, rounds, way));
}

/** Makes `total` calls, `outstanding` at a time. `each` is the number of messages of a call. */
export async function round(subject: Subject, outstanding: number, total: number, each = 1): Promise<Round> {
  const latencies = new Float64Array(total);
  let next = 0;
  const cpuBefore = await subject.cpuUs();
  const start = performance.now();
  await Promise.all(
    Array.from({ length: outstanding }, async () => {
      for (let n = next++; n < total; n = next++) {
        const before = performance.now();
        await subject.call();
        latencies[n] = performance.now() - before;
      }
    }),
  );
  const tookMs = performance.now() - start;
  const cpuUs = (await subject.cpuUs()) - cpuBefore;
  latencies.sort();
  return {
    perS: (total * each * 1_000) / tookMs,
    p50Ms: latencies[Math.floor(total * 0.5)] ?? 0,
    p99Ms: latencies[Math.floor(total * 0.99)] ?? 0,
    cpuUs: cpuUs / (total * each),
  };
}

/** Transport and wire of a measurement. */
export type Way = Pick<Line, 'transport' | 'wire'>;
export const embedded: Way = { transport: 'embedded', wire: 'unix-socket' };
export const kafka: Way = { transport: 'kafka', wire: 'kafkajs' };

export function lineOf(
  scenario: string,
  subject: string,
  outstanding: number,
  rounds: readonly Round[],
  way = embedded,
): Line {
  const counted = rounds.map(({ perS, p50Ms }) => (outstanding === 1 ? p50Ms : perS));
  const median = (pick: (one: Round) => number): number => middle(rounds.map(pick));
  return {
    scenario,
    ...way,
    subject,
    outstanding,
    per_s: Math.round(median(({ perS }) => perS)),
    p50_ms: to(
      3,
      median(({ p50Ms }) => p50Ms),
    ),
    p99_ms: to(
      3,
      median(({ p99Ms }) => p99Ms),
    ),
    cpu_us: to(
      1,
      median(({ cpuUs }) => cpuUs),
    ),
    rounds: rounds.length,
    spread: to(2, (Math.max(...counted) - Math.min(...counted)) / middle(counted)),
  };
}

export function middle(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
export function to(digits: number, number: number): number {
  return Number(number.toFixed(digits));
}
