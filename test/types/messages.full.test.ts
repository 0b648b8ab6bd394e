import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');
const contract = `
  import { broadcast, defineModule, event, request, work } from 'busbar';
  import { z } from 'zod';
  const Photo = z.object({ id: z.string(), bytes: z.number() });
  export const photos = defineModule('photos', {
    add: request(Photo.omit({ id: true }), Photo, { failures: { TooBig: z.object({ limitBytes: z.number() }) } }),
    resize: work(Photo),
    dropCache: broadcast(Photo.pick({ id: true })),
    added: event(Photo),
  });
  export const others = defineModule('others', {
    due: work(z.object({ at: z.coerce.date<string>() })),
    when: request(z.string(), z.coerce.date<string>()),
  });`;

/** A folder inside the repository, so that imports resolve as in other files, but outside `npm run types`. */
let folder: string;
beforeAll(() => {
  mkdirSync(join(root, 'build'), { recursive: true });
  folder = mkdtempSync(join(root, 'build', 'types-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Compiles all files together. Returns the messages of tsc by file, and writes the declarations. */
function compile(files: Record<string, string>): (name: string) => string {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, `${name}.ts`), text);
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        emitDeclarationOnly: true,
        noUnusedLocals: false,
        noErrorTruncation: true,
        rootDir: root,
        outDir: join(folder, 'out'),
        typeRoots: [join(root, 'node_modules', '@types')],
      },
      include: [join(folder, '*.ts')],
    }),
  );
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
    encoding: 'utf8',
    cwd: folder,
  });
  // A message continues over indented lines.
  const messages = stdout.split(/\n(?=\S)/);
  return (name) =>
    messages
      .filter((message) => message.startsWith(`${name}.ts(`))
      .map((message) => message.replace(/^.*?: error /, ''))
      .join('\n');
}

const body = `add = async () => ({ id: '', bytes: 1 }); resize() {}`;
const use = `import { photos } from './contract'; import type { Bus } from 'busbar'; declare const bus: Bus;\n`;
const others = `resize: () => {}`;
const handlers = `add: async () => ({ id: '', bytes: 1 }), ${others}`;
const cases: Record<string, string> = {
  missing: `${use} void bus.serve(photos, { ${handlers} });`,
  misspelt: `${use} void bus.serve(photos, { ${handlers}, dropCahce: () => {} });`,
  event: `${use} void bus.serve(photos, { ${handlers}, dropCache: () => {}, added: () => {} });`,
  undeclared: `${use} void bus.serve(photos, { ${others}, dropCache: () => {},
    add: (_p, { fail }) => fail('TooSmall', {}) });`,
  reply: `${use} void bus.serve(photos, { ${others}, dropCache: () => {}, add: async () => ({ id: '' }) });`,
  verb: `${use} void bus.submit(photos.added, { id: '', bytes: 1 });`,
  field: `${use} void bus.submit(photos.resize, { id: '', bytes: 'many' });`,
  code: `import { request } from 'busbar'; import { z } from 'zod';
    request(z.string(), z.string(), { failures: { Timeout: z.string() } });`,
  reserved: `import { defineModule, work } from 'busbar'; import { z } from 'zod';
    defineModule('x', { then: work(z.string()) });`,
  limits: `${use} void bus.serve(photos, { ${handlers}, dropCache: () => {} }, { concurrency: { added: 1 } });`,
  class: `import { SystemModule } from 'busbar/host'; import { photos } from './contract';
    @SystemModule(photos)
    class Photos { ${body} }`,
  needs: `import { BUS, SystemModule } from 'busbar/host'; import { photos } from './contract';
    class Store { rows = 1; }
    @SystemModule(photos, { needs: [BUS] })
    class Photos { constructor(readonly store: Store) {} ${body} dropCache() {} }`,
  option: `import { openBus } from 'busbar'; void openBus({ module: 'x', drainMS: 5 });`,
};
/** The names that each message must contain, so that a reader finds the cause. */
const named: readonly [string, string, readonly RegExp[]][] = [
  ['a missing handler', 'missing', [/Property 'dropCache' is missing/]],
  ['a misspelled handler', 'misspelt', [/'dropCahce' does not exist/, /Did you mean to write 'dropCache'/]],
  ['an event that was given a handler', 'event', [/'added' does not exist/]],
  ['an undeclared failure and the declared ones', 'undeclared', [/'"TooSmall"' is not assignable to .*'"TooBig"'/]],
  ['a missing field of the reply', 'reply', [/Property 'bytes' is missing/]],
  ['the kinds when the verb does not fit', 'verb', [/'"event"' is not assignable to type '"work"'/]],
  ['the field of a wrong type', 'field', [/Type 'string' is not assignable to type 'number'/]],
  [
    'a code of the bus used as a failure',
    'code',
    [/'Timeout' is a code of the bus itself; name the failure otherwise/],
  ],
  ['a reserved name', 'reserved', [/'then' cannot name an entry/]],
  ['an entry that has no limits', 'limits', [/'added' does not exist in type '.*resize\?/s]],
  ['a missing method of a class', 'class', [/Property 'dropCache' is missing in type 'Photos'/]],
  [
    'the types of `needs` and of the constructor',
    'needs',
    [/'Bus' is not assignable to .*'Store'|Type 'Bus' is missing|'rows' is missing in type 'Bus'/s],
  ],
  ['a misspelled option', 'option', [/Did you mean to write 'drainMs'|'drainMS' does not exist/]],
];

describe('compiled', () => {
  let said: (name: string) => string;
  beforeAll(() => {
    said = compile({ contract, ...cases });
  }, 240_000);

  test.each(named)('the message names %s', (_what, name, patterns) => {
    for (const pattern of patterns) expect(said(name)).toMatch(pattern);
  });

  test('messages have at most twelve lines', () => {
    for (const name of Object.keys(cases))
      expect([name, said(name).split('\n').length]).toEqual([name, expect.any(Number)]);
    const longest = Math.max(...Object.keys(cases).map((name) => said(name).split('\n').length));
    expect(longest).toBeLessThanOrEqual(12);
  });

  test("a contract's declarations show plain types and no schema library", () => {
    expect(said('contract')).toBe('');
    const declared = readFileSync(join(folder, 'out', folder.slice(root.length + 1), 'contract.d.ts'), 'utf8');
    expect(declared).toContain('limitBytes: number');
    expect(declared).not.toMatch(/zod|\bz\./i);
  });

  test('input and body, and reply and output, are shown once if they are the same', () => {
    const declared = readFileSync(join(folder, 'out', folder.slice(root.length + 1), 'contract.d.ts'), 'utf8');
    const partsOf = (entry: string): string[] => {
      const start = declared.search(new RegExp(`\\n    ${entry}: `));
      const text = declared.slice(start, declared.indexOf('}>;', start));
      return [...text.matchAll(/\n {8}(\w+)\??:/g)].map(([, name = '']) => name);
    };
    expect(partsOf('add')).toEqual(['input', 'reply', 'failures']);
    for (const entry of ['resize', 'dropCache', 'added']) expect(partsOf(entry)).toEqual(['input']);
    expect(partsOf('due')).toEqual(['input', 'body']);
    expect(partsOf('when')).toEqual(['input', 'reply', 'output', 'failures']);
  });
});
