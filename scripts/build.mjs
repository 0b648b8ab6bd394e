// Compiles src/ to dist/ (the package), and modules/, benches and examples/ to build/ (for this repository).
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';

const run = (args) => {
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
};
for (const folder of ['dist', 'build']) rmSync(folder, { recursive: true, force: true });
// Code without comments, and declarations with them: users read the docstrings in hovers, and Node loads less text.
run(['-p', 'tsconfig.build.json', '--declaration', 'false', '--removeComments']);
run(['-p', 'tsconfig.build.json', '--emitDeclarationOnly']);
chmodSync('dist/cli/main.js', 0o755);
run(['-p', 'tsconfig.modules.json']);

// The examples become a project of the kind users have: ES modules that resolve busbar in node_modules.
run(['-p', 'examples/tsconfig.build.json']);
writeFileSync('build/examples/package.json', '{ "private": true, "type": "module" }\n');
mkdirSync('build/examples/node_modules');
symlinkSync('../../..', 'build/examples/node_modules/busbar', 'dir');
