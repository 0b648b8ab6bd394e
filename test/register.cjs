// Runs TypeScript in plain Node.js: `node --require test/register.cjs file.ts`, with the settings of jest.config.js.
// Compiled files are cached, so that a process loads the compiler only for a new file.
const { createHash } = require('node:crypto');
const { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { threadId } = require('node:worker_threads');

const root = path.join(__dirname, '..');
const kept = path.join(root, 'node_modules', '.cache', 'busbar-register');
const swc = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
  },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
};
const salt = `${process.version} ${JSON.stringify(swc)} ${readFileSync(path.join(root, 'node_modules/@swc/core/package.json'), 'utf8')}`;

function compile(filename) {
  const source = readFileSync(filename, 'utf8');
  const hash = createHash('sha256').update(`${salt}\0${filename}\0${source}`).digest('hex');
  const file = path.join(kept, `${hash}.js`);
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const { code } = require('@swc/core').transformSync(source, { ...swc, filename });
  mkdirSync(kept, { recursive: true });
  const mine = `${file}.${process.pid}.${threadId}`;
  writeFileSync(mine, code);
  renameSync(mine, file); // atomic, since other processes can compile the same file
  return code;
}
require.extensions['.ts'] = (module, filename) => module._compile(compile(filename), filename);

const resolve = Module._resolveFilename;
Module._resolveFilename = (request, ...rest) => {
  const inside = /^busbar(?:\/(.+))?$/.exec(request);
  return resolve(inside ? path.join(root, 'src', inside[1] ?? '', 'index.ts') : request, ...rest);
};
