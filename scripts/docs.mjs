// Builds the API reference of every entry point of the package into build/api. Fails on any warning.
import { readFileSync } from 'node:fs';
import { createRequire, register } from 'node:module';

// typedoc reads sources through the API of TypeScript 6, which TypeScript 7 does not have.
const resolve = `export const resolve = (name, context, next) =>
  next(name === 'typescript' ? 'typescript-6' : name, context);`;
register(`data:text/javascript,${encodeURIComponent(resolve)}`);
const { Application, Comment, Converter } = await import('typedoc');
const require = createRequire(import.meta.url);
require('../test/register.cjs');
const { busOptions } = require('../src/options.ts');

/** Types that the reference leaves out. */
const internalTypes = {
  computedByTheCompiler:
    'About CheckAnswer EntryOptions EntrySchemas Handled In MethodDecoratorOf ModuleClass More NotABusCode NotReserved ' +
    'Out RequestTypes Same Schemas SomeEntry Tokens Types namedParts singleParts',
  partsOfErrorDetails: 'Behind CauseFacts OfList TooManyBytes TooManyMessages',
  portsThatOnlyBusbarImplements: 'Clock Log Random Registry Stored',
};
const { exports } = JSON.parse(readFileSync('package.json', 'utf8'));
const app = await Application.bootstrap({
  entryPoints: Object.values(exports).flatMap(({ types = '' }) =>
    types === '' ? [] : [types.replace('./dist/', 'src/').replace('.d.ts', '.ts')],
  ),
  tsconfig: 'tsconfig.build.json',
  out: 'build/api',
  name: 'busbar',
  readme: 'none',
  disableGit: true,
  sourceLinkTemplate: '../../{path}#L{line}',
  excludePrivate: true,
  excludeExternals: true,
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, rewrittenLink: true, notDocumented: true },
  // Properties are left out: many are clear from name and type, such as `host` and `pid` of an instance.
  requiredToBeDocumented: ['Variable', 'Function', 'Class', 'Interface', 'Constructor', 'Method', 'TypeAlias'],
  intentionallyNotExported: Object.values(internalTypes).flatMap((names) => names.split(' ')),
  intentionallyNotDocumented: ['index.handler.H'],
});

/** Options have their descriptions in the table of src/options.ts, which `busbar` and docs/configuration.md also use. */
app.converter.on(Converter.EVENT_CREATE_DECLARATION, (_context, reflection) => {
  const option = busOptions[reflection.name];
  const isOption = reflection.sources?.some(({ fileName }) => fileName.endsWith('src/options.ts'));
  if (option && isOption && !reflection.hasComment())
    reflection.comment = new Comment([{ kind: 'text', text: option.description }]);
});

const project = await app.convert();
if (project) {
  app.validate(project);
  await app.generateOutputs(project);
}
if (!project || app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
