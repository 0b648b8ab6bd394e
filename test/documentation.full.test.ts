import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pages, root } from './documentation';

/** Names that the pages introduce in prose: the open bus, the contract of the README, and code of the reader. */
const globals = `
  declare const bus: import('busbar').Bus;
  declare const photos: typeof import('./modules/photos/contract').photos;
  type Photo = import('busbar').Body<typeof photos.added>;
  declare const store: {
    save(photo: Photo): Photo;
    resize(photoId: string, signal: AbortSignal): Promise<void>;
    forget(photoId: string): void;
  };
  declare const index: { add(photo: Photo): Promise<void> };
  declare const cache: { put(photo: Photo): void };
  declare const handlers: import('busbar').Handlers<typeof photos>;
  declare const show: (photo: Photo) => void;
  declare const later: (afterMs: number) => void;`;

/** Extracts every TypeScript block. A block that begins with the path of a file becomes that file, if it is the first. */
function blocks(): Map<string, string> {
  const files = new Map<string, string>();
  for (const { file, text } of pages())
    for (const [index, [, code = '']] of [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].entries()) {
      const path = /^\/\/ ([\w/]+\.ts)\b/.exec(code)?.[1];
      const name = path && !files.has(path) ? path : `modules/blocks/${file.replaceAll(/\W/g, '-')}-${index + 1}.ts`;
      files.set(name, `${code}\nexport {};\n`);
    }
  return files;
}

test('every TypeScript block of README and docs compiles', () => {
  mkdirSync(join(root, 'build'), { recursive: true });
  // Inside the repository, so that imports resolve as from any other file of it.
  const folder = mkdtempSync(join(root, 'build', 'documentation-'));
  try {
    const files = blocks();
    expect(files.size).toBeGreaterThan(8);
    for (const [name, text] of [...files, ['globals.d.ts', globals] as const]) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const typeRoots = [join(root, 'node_modules', '@types')];
    const compilerOptions = { module: 'esnext', noUnusedLocals: false, rootDir: root, typeRoots };
    const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: ['**/*.ts', join(root, 'src')] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const args = [tsc, '-p', folder, '--pretty', 'false'];
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect({ status, messages: stdout.split('\n').filter(Boolean) }).toEqual({ status: 0, messages: [] });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);
