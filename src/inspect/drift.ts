/** Raises alarms for instances of one module with different contracts, and for senders with another contract. */
import { selfContract } from '../bus/self-contract';
import type { ContractAnswer, ContractText } from '../bus/self-described';
import { moduleOf } from '../contract/contract';
import { differences, entryDifferences } from './difference';
import type { Alarm, InspectorParts, InstanceView } from './types';

/** Maximum number of differences in an alarm. */
const shownMax = 3;
/** Maximum number of instances whose contracts are requested. It bounds the duration of the call. */
const requestedMax = 20;
const ownContract = 'busbar';

/** Instances that serve the same version of a contract, the one that runs for the longest time first. */
interface Version {
  readonly fingerprint: string;
  readonly instances: readonly InstanceView[];
}

/** Returns one alarm for each module whose instances differ, and one for each version of a sender that differs. */
export async function driftAlarms(
  parts: InspectorParts,
  instances: readonly InstanceView[],
  nowMs: number,
): Promise<readonly Alarm[]> {
  const asked = openRequests(parts);
  const modules = versionsOf(instances.filter(({ leaving }) => !leaving));
  const served = [...modules].filter(([, versions]) => versions.length > 1);
  const [differ, senders] = await Promise.all([
    Promise.all(served.map(([module, versions]) => instancesAlarm(asked, module, versions, nowMs))),
    Promise.all(foreignSenders(instances, modules).map((one) => senderAlarm(asked, one))),
  ]);
  return [...differ, ...senders.flat()];
}

/** Returns the versions of each module, by the start of their first instance. */
function versionsOf(instances: readonly InstanceView[]): ReadonlyMap<string, readonly Version[]> {
  const modules = new Map<string, Map<string, InstanceView[]>>();
  for (const one of instances.toSorted((a, b) => a.sinceMs - b.sinceMs)) {
    for (const [module, print] of Object.entries(one.serves)) {
      if (module === ownContract) continue;
      const prints = modules.get(module) ?? new Map<string, InstanceView[]>();
      modules.set(module, prints);
      prints.set(print, [...(prints.get(print) ?? []), one]);
    }
  }
  return new Map(
    [...modules].map(([module, prints]) => [
      module,
      [...prints].map(([print, all]) => ({ fingerprint: print, instances: all })),
    ]),
  );
}

type Asked = (instance: string, module: string) => Promise<ContractAnswer | null>;

/** Returns a function that requests each contract once. It resolves with null when an instance does not describe it. */
function openRequests({ bus, answerMs = 2_000 }: InspectorParts): Asked {
  const answers = new Map<string, Promise<ContractAnswer | null>>();
  return (instance, module) => {
    const key = `${instance} ${module}`;
    const found = answers.get(key);
    if (found || answers.size >= requestedMax) return found ?? Promise.resolve(null);
    const call = { to: instance, timeoutMs: answerMs };
    // An instance of an earlier version of busbar does not know the request, and one that hangs does not answer.
    const made = bus.request(selfContract.contract, { module }, call).catch(() => null);
    answers.set(key, made);
    return made;
  };
}

async function instancesAlarm(
  asked: Asked,
  module: string,
  versions: readonly Version[],
  nowMs: number,
): Promise<Alarm> {
  const texts = await Promise.all(versions.map(async (one) => (await askOf(asked, one, module))?.served ?? null));
  const [first, last] = [texts[0], texts.at(-1)];
  const groups = versions.map(({ fingerprint, instances }) => `${describeInstances(instances)} ${fingerprint}`);
  const what = first && last ? listed(differences(first, last)) : unknown;
  const newest = versions.at(-1)?.instances[0];
  return {
    severity: 'warning',
    about: module,
    what: 'drift',
    forMs: newest ? Math.max(0, nowMs - newest.sinceMs) : null,
    message: `its instances serve ${versions.length} contracts: ${groups.join(', ')}; ${what}`,
    next: `busbar instances ${module}`,
  };
}

function askOf(asked: Asked, { instances }: Version, module: string): Promise<ContractAnswer | null> {
  const [first] = instances.filter(({ status }) => status !== null);
  return first ? asked(first.name, module) : Promise.resolve(null);
}

/** Senders that have the same other contract of a module. */
interface ForeignSender {
  readonly module: string;
  readonly fingerprint: string;
  readonly senders: readonly InstanceView[];
  /** Entries that they sent. */
  readonly entries: ReadonlySet<string>;
  readonly served: Version;
}

function foreignSenders(
  instances: readonly InstanceView[],
  modules: ReadonlyMap<string, readonly Version[]>,
): readonly ForeignSender[] {
  const found = new Map<string, ForeignSender & { senders: InstanceView[]; entries: Set<string> }>();
  for (const one of instances) {
    for (const { entry, contract, kind } of one.status?.outgoing ?? []) {
      const module = moduleOf({ name: entry });
      const versions = modules.get(module) ?? [];
      const newest = versions.at(-1);
      // An event is sent by the module itself, so its receivers have the contracts to compare.
      if (contract === null || !newest || kind === 'event' || module === ownContract) continue;
      if (versions.some(({ fingerprint }) => fingerprint === contract)) continue;
      const key = `${module} ${contract}`;
      const group = found.get(key) ?? {
        module,
        fingerprint: contract,
        senders: [],
        entries: new Set(),
        served: newest,
      };
      found.set(key, group);
      if (!group.senders.includes(one)) group.senders.push(one);
      group.entries.add(entry);
    }
  }
  return [...found.values()];
}

/** Returns an alarm if an entry that the senders use differs. Entries that they do not use can differ. */
async function senderAlarm(asked: Asked, foreign: ForeignSender): Promise<readonly Alarm[]> {
  const { module, fingerprint, senders, entries, served } = foreign;
  const [sender] = senders;
  const [there, here] = await Promise.all([askOf(asked, served, module), sender && asked(sender.name, module)]);
  const what = usedDifferences(here?.called ?? null, there?.served ?? null, entries);
  if (what?.length === 0) return [];
  const responder = describeInstances(served.instances);
  const about = `${describeInstances(senders)} calls ${[...entries].toSorted().slice(0, shownMax).join(', ')}`;
  const contracts = `with contract ${fingerprint}, ${responder} has ${served.fingerprint}`;
  return [
    {
      severity: 'warning',
      about: module,
      what: 'drift',
      forMs: null,
      message: `${about} ${contracts}; ${what ? listed(what) : unknown}`,
      next: `busbar instances ${module}`,
    },
  ];
}

/** Returns the differences of these entries; undefined when one of the contracts is not known. */
function usedDifferences(
  here: ContractText | null,
  there: ContractText | null,
  entries: ReadonlySet<string>,
): readonly string[] | undefined {
  if (!here || !there) return undefined;
  return [...entries].flatMap((name) => {
    const [one, other] = [here, there].map((text) => text.entries.find((entry) => entry.name === name));
    if (!one) return [];
    if (!other) return [`${name} removed`];
    return entryDifferences(one, other).map((what) => `${name} ${what}`);
  });
}

const unknown = 'the difference is not known, because an instance does not describe its contract';

function listed(all: readonly string[]): string {
  if (all.length === 0) return 'their schemas differ in a way that their library does not describe';
  const more = all.length > shownMax ? `, and ${all.length - shownMax} more` : '';
  return `${all.slice(0, shownMax).join(', ')}${more}`;
}
function describeInstances(instances: readonly InstanceView[]): string {
  const [first, ...others] = instances;
  const version = first?.version ? ` (${first.version})` : '';
  const more = others.length > 0 ? ` and ${others.length} more` : '';
  return `${first?.name ?? 'an instance'}${version}${more}`;
}
