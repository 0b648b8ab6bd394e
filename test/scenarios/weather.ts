/** Temperatures and their averages as processes on Kafka: the exercise of the lecture (TW-13). */
import { openBus } from 'busbar';
import { arrangements, faults, run, type Arrangement } from '../../modules/weather/run';
import { count, type Figure } from './figures';
import { asVariables, onKafka, type Around, type Scenario } from './scene';
import { built, needBuild } from './site';

const stations = 24;

export const weather: Scenario = {
  title: 'temperatures to one reader, to three with a name each, and to three that share one',
  async run(around) {
    needBuild();
    const figures: Figure[] = [];
    for (const arrangement of Object.keys(arrangements) as Arrangement[]) {
      figures.push(await arrange(around, arrangement));
    }
    return figures;
  },
};

async function arrange({ cluster, ns, short, say }: Around, arrangement: Arrangement): Promise<Figure> {
  const messages = short ? 240 : 1_500;
  const own = { cluster, ns: `${ns}-${Object.keys(arrangements).indexOf(arrangement)}` };
  await using bus = await openBus({ log: false, module: 'weatherwatch', ...onKafka(own) });
  const env = { ...process.env, ...asVariables(own) };
  const readers = await run(bus, arrangement, { folder: built, env, messages, stations, withinMs: 300_000 });
  say(`${arrangement}: ${readers.map(({ got }) => got.length).join(' + ')}`);
  const wrong = faults(readers, messages);
  const received = readers.map(({ as, got }) => `'${as}' ${count(got.length)}`).join(', ');
  const isAll = readers.length === arrangements[arrangement].length;
  return {
    row: 'TW-13',
    what: `${arrangement}: ${count(messages)} temperatures`,
    authors: 'exercise, no figure',
    ours: [received, ...wrong].join('; '),
    ok: isAll && wrong.length === 0,
  };
}
