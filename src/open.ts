/** Opens a bus; the only place that chooses between the makers of the ports. Each is loaded when it is chosen. */
import type { Bus, BusOptions } from './bus/types';

export interface OpenOptions extends BusOptions {
  readonly transport?: 'embedded' | 'kafka';
}
export async function openBus(options: OpenOptions): Promise<Bus> {
  throw new Error(`opening ${String(options.module)}`);
}
