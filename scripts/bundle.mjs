// node scripts/bundle.mjs FROM TO: joins the compiled modules of FROM to the JavaScript of the package, in TO.
// One file for each entry point, for each `await import`, and for what they share: Node needs more time to find and open
// 115 files than to run them. Rollup does it because it divides CommonJS. esbuild divides only ES modules, so that each of
// its entry points would contain its own class BusError. FROM/modules.json lists the modules of each file.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { rollup } from 'rollup';

/** Files for all that an entry point imports statically, except what an earlier file has. */
const sharedBy = { 'contract/shared': 'contract/index', 'bus/shared': 'index', 'cli/shared': 'cli/main' };

const [, , from, to] = process.argv;
const pathOf = (name) => resolve(from, `${name}.js`);
const nameOf = (path) => relative(from, path).replace(/\.js$/, '');

const { exports: exported, bin } = JSON.parse(readFileSync('package.json', 'utf8'));
const outputs = [...Object.values(exported).map((entry) => entry.default), ...Object.values(bin)].filter(Boolean);
const entries = outputs.map((file) => relative('dist', file).replace(/\.js$/, ''));

/** Returns the key of `sharedBy` whose entry point imports this module, directly or not. */
function sharedFile(id, { getModuleInfo }) {
  const above = new Set([id]); // grows while it is read
  for (const module of above) for (const importer of getModuleInfo(module).importers) above.add(importer);
  above.delete(id);
  return Object.keys(sharedBy).find((file) => above.has(pathOf(sharedBy[file])));
}

const bundled = await rollup({
  input: Object.fromEntries(entries.map((name) => [name, pathOf(name)])),
  external: (id) => !/^[./]/.test(id),
  plugins: [
    {
      name: 'resolve as Node does',
      resolveId: (id, importer) => (importer && id.startsWith('.') ? createRequire(importer).resolve(id) : null),
    },
  ],
  onwarn: ({ message }) => {
    throw new Error(message);
  },
});
const { output } = await bundled.write({
  dir: to,
  format: 'cjs',
  generatedCode: { preset: 'es2015', symbols: false },
  esModule: true,
  interop: 'auto', // as esModuleInterop of TypeScript
  dynamicImportInCjs: false, // `await import` becomes `require`, which jest of a user can load
  hoistTransitiveImports: false,
  manualChunks: sharedFile,
  chunkFileNames: ({ name, facadeModuleId, moduleIds }) =>
    `${name in sharedBy ? name : nameOf(facadeModuleId ?? moduleIds.at(-1))}.js`,
});
const modules = output.map(({ fileName, moduleIds }) => [fileName, moduleIds.map((id) => `${nameOf(id)}.js`)]);
writeFileSync(join(from, 'modules.json'), JSON.stringify(Object.fromEntries(modules), null, 2));
