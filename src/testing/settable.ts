/** Rejects a setting of a test bus for the same reasons as `busbar set` does. */
import { BusError, didYouMean, nearest } from '../base/errors';
import { checkSetting } from '../config';
import { entryOptionsOf } from '../options';

/** The kinds of entries and listeners that a setting can apply to. */
export type Settable = keyof typeof entryOptionsOf;

/** Throws Config for a key or value that no bus would apply, and for an entry or listener that does not exist. */
export function mustBeSetting(key: string, value: string, settable: ReadonlyMap<string, Settable>): void {
  const meant = checkSetting(key, value);
  if (typeof meant === 'string') throw refusal(key, meant);
  const { scope, name } = meant;
  if (scope === '') return;
  const kind = settable.get(scope);
  if (kind === undefined) {
    const hint = didYouMean(nearest(scope, [...settable.keys()]));
    throw refusal(key, `no bus of this test has an entry or a named listener ${scope}${hint}`);
  }
  const options: readonly string[] = entryOptionsOf[kind];
  if (options.includes(name)) return;
  const are = options.length > 0 ? `its settings are ${options.join(', ')}` : 'it has no settings';
  throw refusal(key, `${scope} is of the kind ${kind}: ${are}`);
}

function refusal(key: string, reason: string): BusError<'Config'> {
  const message = `bus.set('${key}'): ${reason}`;
  const remedy = 'Correct the key or the value. Pass { unchecked: true } to write it unchecked, as another tool can.';
  return new BusError('Config', message, { faults: [message] }, undefined, remedy);
}
