/** Draws landscapes, each from a number, so that real JPEG and PNG files exist without binaries in the repository. */
import sharp from 'sharp';

export interface Sample {
  readonly name: string;
  readonly tags: readonly string[];
  readonly type: 'image/jpeg' | 'image/png';
  readonly bytes: Uint8Array;
}
export interface Scene {
  readonly name: string;
  readonly tags: readonly string[];
  /** Top and bottom of the sky, and the nearest ridge. */
  readonly colours: readonly [sky: string, horizon: string, near: string];
  readonly png?: boolean;
}

const scenes: readonly Scene[] = [
  { name: 'Dawn over the ridge', tags: ['alps', 'morning'], colours: ['#f7b267', '#f4845f', '#3d2c3a'] },
  { name: 'Blue hour', tags: ['evening', 'lake'], colours: ['#16244d', '#7f9fd1', '#0b1226'], png: true },
  { name: 'First snow', tags: ['alps', 'winter'], colours: ['#b9d3e8', '#f3f7fa', '#4d6a83'] },
  { name: 'Late summer', tags: ['hills', 'evening'], colours: ['#ffd58a', '#fff0d0', '#5f7d3b'] },
  { name: 'Storm coming', tags: ['sea', 'weather'], colours: ['#37424d', '#a6b1b5', '#1b2327'] },
  { name: 'Red desert', tags: ['desert', 'morning'], colours: ['#e9c7a5', '#f6e7d3', '#8c3b22'], png: true },
];

/** Returns the pictures of a new gallery. */
export async function samples(): Promise<Sample[]> {
  const all: Sample[] = [];
  for (const [index, scene] of scenes.entries()) all.push(await draw(scene, index + 1, 1_600, 1_200));
  return all;
}

/** Draws a picture that differs for every `seed`; `width` decides the cost of its thumbnail. */
export function sample(seed: number, name: string, width: number, tags: readonly string[] = []): Promise<Sample> {
  const scene = scenes[seed % scenes.length];
  if (!scene) throw new RangeError(`seed must be a whole number of 0 or more, not ${seed}`);
  return draw({ ...scene, name, tags }, seed, width, Math.round((width * 3) / 4));
}

async function draw(scene: Scene, seed: number, width: number, height: number): Promise<Sample> {
  const image = sharp(Buffer.from(svg(scene, seed, width, height)));
  const bytes = await (scene.png ? image.png({ compressionLevel: 6 }) : image.jpeg({ quality: 86 })).toBuffer();
  return { name: scene.name, tags: scene.tags, type: scene.png ? 'image/png' : 'image/jpeg', bytes };
}

const ridges = 4;
function svg({ colours: [sky, horizon, near] }: Scene, seed: number, width: number, height: number): string {
  const next = seeded(seed);
  const sun = {
    x: width * (0.2 + 0.6 * next()),
    y: height * (0.22 + 0.2 * next()),
    r: height * (0.05 + 0.04 * next()),
  };
  const layers = Array.from({ length: ridges }, (_, index) => {
    const points = ridge(next, width, height, 0.45 + index * 0.13);
    const opacity = (0.25 + index * 0.25).toFixed(2); // the nearest is darkest
    return `<path d="M0 ${height}L${points}L${width} ${height}z" fill="${near}" fill-opacity="${opacity}"/>`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<defs><linearGradient id="s" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="${sky}"/>` +
    `<stop offset=".7" stop-color="${horizon}"/></linearGradient></defs>` +
    `<rect width="100%" height="100%" fill="url(#s)"/>` +
    `<circle cx="${sun.x}" cy="${sun.y}" r="${sun.r * 2.2}" fill="#fff" fill-opacity=".18"/>` +
    `<circle cx="${sun.x}" cy="${sun.y}" r="${sun.r}" fill="#fff" fill-opacity=".85"/>${layers.join('')}</svg>`
  );
}

/** Returns a line of hills: three waves of different length. */
function ridge(next: () => number, width: number, height: number, level: number): string {
  const waves = [1, 2.7, 6.1].map((turns, index) => ({
    turns,
    phase: next() * 7,
    size: (0.09 * height) / (index * 1.6 + 1),
  }));
  const steps = 120;
  return Array.from({ length: steps + 1 }, (_, step) => {
    const along = step / steps;
    const lift = waves.reduce((sum, { turns, phase, size }) => sum + size * Math.sin(phase + along * turns * 6.28), 0);
    return `${(along * width).toFixed(1)} ${(height * level - lift).toFixed(1)}`;
  }).join(' ');
}

/** Returns the same numbers from 0 to 1 for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed * 2_654_435_761;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
