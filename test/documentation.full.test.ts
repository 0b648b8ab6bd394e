import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pages, root } from './documentation';

/** Names that pages and docstrings introduce in prose: the open bus, contracts, and code of the reader. */
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
  declare const photo: Photo;
  declare const show: (photo: Photo) => void;
  declare const later: (afterMs: number) => void;
  declare const caches: import('busbar').Contract<{
    size: import('busbar').Request<{ input: undefined; reply: number; failures: {} }>;
  }>;
  declare const search: import('busbar').Contract<{
    find: import('busbar').Request<{ input: { text: string }; reply: string[]; failures: {} }>;
  }>;
  declare class SearchIndex {
    add(photo: Photo): Promise<void>;
    find(text: string): string[];
  }
  declare class Search {
    constructor(index: SearchIndex);
  }`;

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

/** Extracts the examples of all docstrings in src/. Those without a fence consist of code alone. */
function examples(): Map<string, string> {
  const files = new Map<string, string>();
  for (const file of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).toSorted()) {
    if (!file.endsWith('.ts')) continue;
    const text = readFileSync(join(root, 'src', file), 'utf8');
    for (const [index, [docstring]] of [...text.matchAll(/\/\*\*[^]*?\*\//g)].entries()) {
      const lines = docstring.replaceAll(/^[ \t]*(?:\/\*\*|\*\/|\* ?)|\*\/$/gm, '');
      const [, fenced, plain] = /^@example\n(?:```ts\n([^]*?)^```|([^]*?)(?=^@\w|(?![^])))/m.exec(lines) ?? [];
      const code = fenced ?? plain;
      const name = `modules/blocks/src-${file.replaceAll(/\W/g, '-')}-${index + 1}.ts`;
      if (code !== undefined) files.set(name, `${code}\nexport {};\n`);
    }
  }
  return files;
}

test('every TypeScript block of README and docs compiles, and every example of a docstring', () => {
  mkdirSync(join(root, 'build'), { recursive: true });
  // Inside the repository, so that imports resolve as from any other file of it.
  const folder = mkdtempSync(join(root, 'build', 'documentation-'));
  try {
    const [fromPages, fromDocstrings] = [blocks(), examples()];
    expect(fromPages.size).toBeGreaterThan(8);
    expect(fromDocstrings.size).toBeGreaterThan(20);
    for (const [name, text] of [...fromPages, ...fromDocstrings, ['globals.d.ts', globals] as const]) {
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

test('typedoc builds the API reference of all entry points without a warning', () => {
  const docs = join(root, 'scripts', 'docs.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [docs], { cwd: root, encoding: 'utf8' });
  expect({ status, warnings: `${stdout}${stderr}`.split('\n').filter((line) => /warning|error/i.test(line)) }).toEqual({
    status: 0,
    warnings: [],
  });
  expect(existsSync(join(root, 'build', 'api', 'interfaces', 'index.Bus.html'))).toBe(true);
}, 240_000);
