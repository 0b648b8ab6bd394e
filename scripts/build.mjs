// Compiles src/ to dist/ (the package), and modules/, benches and examples to build/ (for this repository).
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';

const run = (script, ...args) => {
  const { status } = spawnSync(process.execPath, [script, ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
};
const tsc = (...args) => run('node_modules/typescript/bin/tsc', '-p', ...args);
for (const folder of ['dist', 'build']) rmSync(folder, { recursive: true, force: true });

// Declarations with the docstrings, which users read in hovers, and code without comments, in few files.
tsc('tsconfig.build.json', '--emitDeclarationOnly');
const code = ['--declaration', 'false', '--removeComments', '--module', 'esnext', '--outDir', 'build/compiled'];
tsc('tsconfig.build.json', ...code);
run('scripts/bundle.mjs', 'build/compiled', 'dist');
chmodSync('dist/cli/main.js', 0o755);
tsc('tsconfig.modules.json');

// The examples become a project of the kind users have: ES modules that resolve busbar in node_modules.
tsc('examples/tsconfig.build.json');
writeFileSync('build/examples/package.json', '{ "private": true, "type": "module" }\n');
mkdirSync('build/examples/node_modules');
symlinkSync('../../..', 'build/examples/node_modules/busbar', 'dir');
