/**
 * The package as users install it: packed, installed into projects of three kinds, and loading only its documented
 * modules.
 */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.join(__dirname, '..');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  exports: Record<string, unknown>;
};
const run = promisify(execFile);

/** Runs node and returns its standard output. Rejects with its output when it fails or takes more than 200 s. */
async function node(cwd: string, ...args: string[]): Promise<string> {
  // Without the variables of jest, since an inner jest would use them.
  const { NODE_OPTIONS: _, JEST_WORKER_ID: __, NODE_ENV: ___, ...env } = process.env;
  try {
    const { stdout } = await run(process.execPath, args, { cwd, env, timeout: 200_000, killSignal: 'SIGKILL' });
    return stdout;
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${message}\n${stdout}\n${stderr}`, { cause: error });
  }
}
const bin = (name: string): string => path.join(root, 'node_modules', name);

let home = '';
let tarball = '';
let packed: readonly string[] = [];
/** The compiled modules that each file of dist/ contains. */
let modulesOf: Readonly<Record<string, readonly string[]>> = {};

beforeAll(async () => {
  if (!existsSync(path.join(root, 'build/compiled/modules.json'))) await node(root, 'scripts/build.mjs');
  home = mkdtempSync(path.join(tmpdir(), 'busbar-package-'));
  // --ignore-scripts: `prepack` would rebuild dist while other tests use it.
  const args = ['pack', '--ignore-scripts', '--offline', '--json', '--pack-destination', home];
  const { stdout } = await run('npm', args, { cwd: root, timeout: 200_000 });
  const [pack] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  tarball = path.join(home, pack.filename);
  packed = pack.files.map((file) => file.path);
  modulesOf = JSON.parse(readFileSync(path.join(root, 'build/compiled/modules.json'), 'utf8')) as typeof modulesOf;

  // Installed without a network: the package itself, and a link to our copy of each declared dependency.
  const modules = path.join(home, 'node_modules');
  mkdirSync(modules);
  await run('tar', ['-xzf', tarball, '-C', home]);
  cpSync(path.join(home, 'package'), path.join(modules, 'busbar'), { recursive: true });
  for (const name of [...Object.keys(manifest.dependencies), 'zod', '@types/node', '@types/jest']) {
    mkdirSync(path.dirname(path.join(modules, name)), { recursive: true });
    symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name));
  }
}, 400_000);

afterAll(() => {
  if (home) rmSync(home, { recursive: true, force: true });
});

/** Creates a project with these files and returns its folder. */
function project(name: string, files: Readonly<Record<string, string>>): string {
  const folder = path.join(home, name);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(folder, file), text);
  return folder;
}

/** Opens a bus, serves and sends itself a request, with the exports of `busbar` and `busbar/contract`. */
const body = `
  const add = defineModule('sums', { add: request(z.object({ a: z.number(), b: z.bigint() }), z.bigint()) });
  const bus = await openBus({ module: add, dir: process.argv[2] });
  try {
    await bus.serve(add, { add: ({ a, b }) => BigInt(a) + b });
    const sum = await bus.request(add.add, { a: 1, b: 2n });
    const refused = await bus.request(add.add, { a: 'x', b: 2n }).catch((error) => error);
    console.log(String(sum), isBusError(refused, 'Invalid'), fromContract === defineModule);
  } finally {
    await bus.close();
  }
`;

describe('the package', () => {
  it('contains the build output, README and LICENSE only', () => {
    const others = packed.filter((file) => !/^dist\/.*\.(?:js|d\.ts)$/.test(file));
    expect(others.filter((file) => !['package.json', 'README.md', 'LICENSE'].includes(file))).toEqual([]);
    expect(packed).toEqual(expect.arrayContaining(['package.json', 'README.md', 'dist/index.js', 'dist/index.d.ts']));
  });

  it('works in an ESM project', async () => {
    const folder = project('esm', {
      'package.json': '{ "type": "module" }',
      'main.js': `
        import { defineModule, isBusError, openBus, request } from 'busbar';
        import { defineModule as fromContract } from 'busbar/contract';
        import { z } from 'zod';
        ${body}
      `,
    });
    expect(await node(folder, 'main.js', path.join(folder, 'bus'))).toBe('3 true true\n');
  }, 240_000);

  it('works in a CommonJS project', async () => {
    const folder = project('cjs', {
      'package.json': '{}',
      'main.js': `
        const { defineModule, isBusError, openBus, request } = require('busbar');
        const { defineModule: fromContract } = require('busbar/contract');
        const { z } = require('zod');
        (async () => {${body}})();
      `,
    });
    expect(await node(folder, 'main.js', path.join(folder, 'bus'))).toBe('3 true true\n');
  }, 240_000);

  it('works in a jest project without configuration', async () => {
    const folder = project('jest', {
      'package.json': '{}',
      'sums.test.js': `
        const { defineModule, isBusError, request } = require('busbar');
        const { testBus } = require('busbar/testing');
        const { z } = require('zod');
        const sums = defineModule('sums', { add: request(z.object({ a: z.date(), b: z.map(z.string(), z.bigint()) }), z.bigint()) });
        test('adds', async () => {
          const bus = testBus(sums);
          await bus.serve(sums, { add: ({ a, b }) => BigInt(a.getTime()) + b.get('b') });
          expect(await bus.request(sums.add, { a: new Date(1), b: new Map([['b', 2n]]) })).toBe(3n);
          const refused = await bus.request(sums.add, {}).catch((error) => error);
          expect(isBusError(refused, 'Invalid')).toBe(true);
          await bus.close();
        });
      `,
    });
    const report = await node(folder, bin('jest/bin/jest.js'), '--rootDir', folder, '--json', '--silent');
    expect(JSON.parse(report)).toMatchObject({ success: true, numPassedTests: 1 });
  }, 240_000);

  it('has types that compile without skipLibCheck, for import and for require', async () => {
    const use = `
      import { openBus, defineModule, request, unchecked, type Bus } from 'busbar';
      import { work } from 'busbar/contract';
      import { testBus } from 'busbar/testing';
      const sums = defineModule('sums', { add: request(unchecked<number>(), unchecked<string>()), log: work(unchecked<Date>()) });
      export async function use(): Promise<string> {
        const bus: Bus = await openBus({ module: sums });
        await testBus(sums).submit(sums.log, new Date());
        return bus.request(sums.add, 1);
      }
      // @ts-expect-error: a string is no number
      export const wrong = (bus: Bus) => bus.request(sums.add, 'x');
    `;
    const options = {
      strict: true,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      noEmit: true,
      types: ['node'],
    };
    const folder = project('types', {
      'package.json': '{}',
      'tsconfig.json': JSON.stringify({
        compilerOptions: { ...options, module: 'nodenext' },
        files: ['a.mts', 'b.cts'],
      }),
      'a.mts': use,
      'b.cts': use,
    });
    await expect(node(folder, bin('typescript/bin/tsc'), '-p', '.')).resolves.toBe('');
  }, 240_000);

  it('passes publint and attw', async () => {
    const lint = await node(home, bin('publint/src/cli.js'), 'run', tarball, '--strict', '--level', 'warning');
    expect(lint).toContain('All good');
    // Node 10 resolution cannot read `exports`: `main`, `types` and `typesVersions` are for it.
    const args = [tarball, '--no-definitely-typed', '--format', 'json'];
    const report = await node(home, bin('@arethetypeswrong/cli/dist/index.js'), ...args);
    const { analysis } = JSON.parse(report) as { analysis: { entrypoints: object; problems: readonly unknown[] } };
    expect(analysis.problems).toEqual([]);
    expect(Object.keys(analysis.entrypoints).toSorted()).toEqual(Object.keys(manifest.exports).toSorted());
  }, 240_000);

  it('exports from each entry point the names of its source, for import and for require', async () => {
    const entryPoints = Object.keys(manifest.exports).filter((name) => name !== './package.json');
    const code = `
      import { createRequire } from 'node:module';
      const require = createRequire(import.meta.url);
      const names = {};
      for (const name of process.argv.slice(2)) {
        const { default: _, 'module.exports': __, __esModule, ...named } = await import(name);
        names[name] = { imported: Object.keys(named), required: Object.keys(require(name)).toSorted() };
      }
      console.log(JSON.stringify(names));
    `;
    const folder = project('names', { 'package.json': '{ "type": "module" }', 'main.js': code });
    const ids = entryPoints.map((name) => path.posix.join('busbar', name));
    const names = JSON.parse(await node(folder, 'main.js', ...ids)) as Record<string, unknown>;
    const sources = entryPoints.map((name) => {
      const source = Object.keys(require(path.join(root, 'src', name, 'index')) as object).toSorted();
      return [path.posix.join('busbar', name), { imported: source, required: source }];
    });
    expect(names).toEqual(Object.fromEntries(sources));
  }, 240_000);

  it('has each module in one file, so that all entry points have the same classes', async () => {
    const all = Object.values(modulesOf).flat();
    expect(all.filter((name, n) => all.indexOf(name) !== n)).toEqual([]);
    const code = `
      const { BusError } = require('busbar');
      const { defineModule, request, unchecked, ...contract } = require('busbar/contract');
      const sums = defineModule('sums', { add: request(unchecked(), unchecked()) });
      require('busbar/testing').testBus(sums).request(sums.add, 1).catch((error) => {
        console.log(error instanceof BusError, contract.BusError === BusError, error.code);
      });
    `;
    expect(await node(home, '-e', code)).toBe('true true NoHandler\n');
  });

  it('adds the line of the caller, and no frame of its own, to the stack of a failed call', async () => {
    const code = `
      const { defineModule, openBus, request, unchecked } = require('busbar');
      const sums = defineModule('sums', { add: request(unchecked(), unchecked()) });
      (async () => {
        const bus = await openBus({ module: 'caller', dir: process.argv[2] });
        const add = async () => await bus.request(sums.add, 1, { waitForInstanceMs: 0 });
        const tryToAdd = async () => await bus.tryRequest(sums.add, 1, { waitForInstanceMs: 0 });
        const errors = [await add().catch((error) => error), (await tryToAdd()).error];
        await bus.close();
        for (const { stack } of errors) console.log(stack.split('--- called from ---')[1].trim().split('\\n')[0]);
      })();
    `;
    const folder = project('stack', { 'package.json': '{}', 'main.js': code });
    const frames = await node(folder, 'main.js', path.join(folder, 'bus'));
    expect(frames).toMatch(/^at add \(.*\/stack\/main\.js:6:\d+\)\nat tryToAdd \(.*\/stack\/main\.js:7:\d+\)\n$/);
  }, 240_000);

  interface Loaded {
    /** Modules of src/, as they are compiled. */
    readonly modules: readonly string[];
    readonly packages: readonly string[];
  }

  /** Returns what loading `id` loads. */
  async function loads(id: string): Promise<Loaded> {
    const code = `require('${id}'); console.log(JSON.stringify(Object.keys(require.cache)))`;
    const files = JSON.parse(await node(home, '-e', code)) as string[];
    const inDist = (file: string) => /\/node_modules\/busbar\/dist\/(.*)$/.exec(file)?.[1];
    const inPackage = (file: string) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file;
    const others = files.filter((file) => inDist(file) === undefined);
    return {
      modules: files.flatMap((file) => modulesOf[inDist(file) ?? ''] ?? []),
      packages: [...new Set(others.map(inPackage))],
    };
  }

  it('loads only the contract and its errors for busbar/contract', async () => {
    const { modules, packages } = await loads('busbar/contract');
    expect(modules).toContain('contract/contract.js');
    expect(modules.filter((file) => !/^contract\/|^base\/errors\.js$/.test(file))).toEqual([]);
    expect(packages).toEqual([]);
  });

  it('loads only the package eventemitter3 and no transport for busbar', async () => {
    const { modules, packages } = await loads('busbar');
    expect(modules).toContain('bus/bus.js');
    expect(modules.filter((file) => /^(?:embedded|disk|memory|kafka|zookeeper|testing|host|cli)\//.test(file))).toEqual(
      [],
    );
    expect(packages).toEqual(['eventemitter3']);
  });

  it('has an executable command that runs from any folder', async () => {
    const command = path.join(home, 'node_modules/busbar/dist/cli/main.js');
    chmodSync(command, 0o755); // as npm does when it links a bin
    const { stdout } = await run(command, ['--help'], { cwd: home, timeout: 200_000 });
    expect(stdout).toContain('busbar');
  });
});
