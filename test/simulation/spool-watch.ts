/** Checks how the processes of one machine use its log: who sends a partition, and what is removed when. */
import type { Log, OwnedPartition } from '../../src/ports/log';
import { drainGroup } from '../../src/spool/drain';
import type { Ledger } from './ledger';
import type { ServerLog } from './spool-plants';

const nameOf = (topic: string, partition: number): string => `${topic}/${partition}`;

export class SpoolWatch {
  /** Highest committed offset of each partition that a process has seen. */
  readonly #committed = new Map<string, number>();

  constructor(
    private readonly machine: string,
    private readonly ledger: Pick<Ledger, 'breaks'>,
  ) {}

  /** Returns both logs as one process of the machine uses them. */
  of(process: string, local: Log, servers: ServerLog): { readonly local: Log; readonly servers: ServerLog } {
    const owned = new Map<string, OwnedPartition>();
    return {
      local: {
        ...local,
        join: (group, topic, owner, options) =>
          local.join(
            group,
            topic,
            {
              onAssigned: (one) => {
                if (group === drainGroup) owned.set(nameOf(topic, one.partition), one);
                owner.onAssigned(this.#noting(topic, one));
              },
              onRevoked: (partition) => owner.onRevoked(partition),
            },
            options,
          ),
        trim: (topic, partition, before) => {
          const committed = this.#committed.get(nameOf(topic, partition)) ?? 0;
          const what = `${process} removes ${nameOf(topic, partition)} up to ${before} from ${this.machine}`;
          if (before > committed) this.ledger.breaks('unsent', `${what}, and ${committed} is committed`);
          return local.trim(topic, partition, before);
        },
      },
      servers: {
        ensure: (topic) => servers.ensure(topic),
        append: (topic, records) => {
          for (const partition of new Set(records.map((record) => record.partition)))
            this.#checkOwner(process, topic, partition, owned);
          return servers.append(topic, records);
        },
      },
    };
  }

  #checkOwner(process: string, topic: string, partition: number, owned: ReadonlyMap<string, OwnedPartition>): void {
    const name = nameOf(topic, partition);
    try {
      const one = owned.get(name);
      if (one) one.check();
      else throw new Error('it never owned the partition');
    } catch (error) {
      this.ledger.breaks('owner', `${process} sends ${name} of the spool of ${this.machine}: ${String(error)}`);
    }
  }

  #noting(topic: string, owned: OwnedPartition): OwnedPartition {
    const name = nameOf(topic, owned.partition);
    const note = (offset: number): void =>
      void this.#committed.set(name, Math.max(offset, this.#committed.get(name) ?? 0));
    note(owned.committed?.offset ?? 0);
    return {
      ...owned,
      async commit(commit) {
        await owned.commit(commit);
        note(commit.offset);
      },
    };
  }
}
