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

beforeAll(async () => {
  if (!existsSync(path.join(root, 'dist/index.js'))) await node(root, 'scripts/build.mjs');
  home = mkdtempSync(path.join(tmpdir(), 'busbar-package-'));
  // --ignore-scripts: `prepack` would rebuild dist while other tests use it.
  const args = ['pack', '--ignore-scripts', '--offline', '--json', '--pack-destination', home];
  const { stdout } = await run('npm', args, { cwd: root, timeout: 200_000 });
  const [pack] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  tarball = path.join(home, pack.filename);
  packed = pack.files.map((file) => file.path);

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

  /** Returns the modules that loading `what` loads: files of dist/, packages by name. */
  async function loads(what: string): Promise<string[]> {
    const code = `require('${what}'); console.log(JSON.stringify(Object.keys(require.cache)))`;
    const files = JSON.parse(await node(home, '-e', code)) as string[];
    const names = files.map((file) => {
      const ours = /\/node_modules\/busbar\/dist\/(.*)$/.exec(file)?.[1];
      return ours ?? /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file;
    });
    return [...new Set(names)];
  }

  it('loads only the contract and its errors for busbar/contract', async () => {
    const loaded = await loads('busbar/contract');
    expect(loaded).toContain('contract/contract.js');
    expect(loaded.filter((file) => !/^contract\/|^base\/errors\.js$/.test(file))).toEqual([]);
  });

  it('loads only the package eventemitter3 and no transport for busbar', async () => {
    const loaded = await loads('busbar');
    expect(loaded).toContain('bus/bus.js');
    expect(loaded.filter((file) => !file.endsWith('.js')).toSorted()).toEqual(['eventemitter3']);
    expect(loaded.filter((file) => /^(?:embedded|disk|memory|kafka|zookeeper|testing|host|cli)\//.test(file))).toEqual(
      [],
    );
  });

  it('has an executable command that runs from any folder', async () => {
    const command = path.join(home, 'node_modules/busbar/dist/cli/main.js');
    chmodSync(command, 0o755); // as npm does when it links a bin
    const { stdout } = await run(command, ['--help'], { cwd: home, timeout: 200_000 });
    expect(stdout).toContain('busbar');
  });
});
