// Lets plain node run TypeScript: `node --require test/register.cjs file.ts`. The same settings as in jest.config.js.
const { readFileSync } = require('node:fs');
const Module = require('node:module');
const { join } = require('node:path');
const { transformSync } = require('@swc/core');

const src = join(__dirname, '..', 'src');
const swc = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
  },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
};
require.extensions['.ts'] = (module, filename) =>
  module._compile(transformSync(readFileSync(filename, 'utf8'), { ...swc, filename }).code, filename);

const resolve = Module._resolveFilename;
Module._resolveFilename = (request, ...rest) => {
  const inside = /^busbar(?:\/(.+))?$/.exec(request);
  return resolve(inside ? join(src, inside[1] ?? '', 'index.ts') : request, ...rest);
};
