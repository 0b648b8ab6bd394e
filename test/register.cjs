// Lets a child process of a test run TypeScript as jest does: node -r ./test/register.cjs child.ts
const { readFileSync } = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { transformSync } = require('@swc/core');

const source = path.join(__dirname, '..', 'src');
const options = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
  },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
  swcrc: false,
};
require.extensions['.ts'] = (module, filename) => {
  module._compile(transformSync(readFileSync(filename, 'utf8'), { ...options, filename }).code, filename);
};

const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  const [, part] = /^busbar(?:\/(.+))?$/.exec(request) ?? [];
  const own = /^busbar(\/|$)/.test(request) ? path.join(source, part ?? '', 'index.ts') : request;
  return resolve.call(this, own, ...rest);
};
