/**
 * The uploads of the demo: whole pictures, three that are broken in different ways, and one file that is not a picture.
 */
import { sample, type Sample } from '../samples';

export const demoTag = 'demo';
const wide = 1_400; // about 60 ms of work each

export async function pictures(count: number): Promise<Sample[]> {
  const all: Sample[] = [];
  for (let seed = 0; seed < count; seed++) all.push(await sample(seed, `picture ${seed + 1}`, wide, [demoTag]));
  return [...all, ...(await broken())];
}

async function broken(): Promise<Sample[]> {
  const jpeg = await sample(1_002, 'half a JPEG', wide, [demoTag]);
  const png = await sample(1_001, 'half a PNG', wide, [demoTag]);
  return [
    { ...jpeg, bytes: jpeg.bytes.subarray(0, jpeg.bytes.length / 2) },
    { ...png, bytes: png.bytes.subarray(0, png.bytes.length / 2) },
    {
      ...jpeg,
      name: 'three bytes of a JPEG, then nonsense',
      bytes: Buffer.from(`\xff\xd8\xff${'nonsense '.repeat(50)}`, 'latin1'),
    },
    { ...jpeg, name: 'a text that says it is a JPEG', bytes: Buffer.from('Dear gallery,') },
  ];
}
