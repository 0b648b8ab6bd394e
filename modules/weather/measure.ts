/** The process that measures: publishes MESSAGES temperatures of STATIONS stations, and exits. */
import { openBus } from 'busbar';
import { weather } from './contract';

const messages = Number(process.env['MESSAGES'] ?? 300);
const stations = Number(process.env['STATIONS'] ?? 24);

async function main(): Promise<void> {
  await using bus = await openBus({ module: weather });
  for (let n = 0; n < messages; n++) {
    const station = n % stations;
    const celsius = 12 + 8 * Math.sin(n / 20) + station / 10;
    await bus.publish(weather.measured, { station: `station-${station}`, n, celsius });
  }
}
void main();
