/** The rules of the layout: allowed imports, the packages of each folder, and the form of files. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Allowed imports of each folder of src or file beside them: folders, or single files of one. Without a row: none. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  base: [],
  contract: ['base/errors'],
  format: ['base', 'contract'],
  ports: ['base', 'format'],
  disk: ['base', 'ports'],
  embedded: ['base', 'format', 'ports', 'disk'],
  memory: ['base', 'format', 'ports'],
  spool: ['base', 'format', 'ports'],
  kafka: ['base', 'format', 'ports'],
  zookeeper: ['base', 'format', 'ports'],
  delivery: ['base', 'contract', 'format'],
  request: ['base', 'contract', 'format', 'ports', 'delivery'],
  work: ['base', 'contract', 'format', 'ports', 'delivery'],
  broadcast: ['base', 'contract', 'format', 'ports', 'delivery'],
  bus: ['base', 'contract', 'format', 'ports', 'delivery', 'request', 'work', 'broadcast'],
  telemetry: ['base', 'bus/types', 'delivery/tracing'],
  // Reads the records that the bus writes into logs, and sends requests through the contract that each instance serves.
  inspect: [
    'base',
    'contract',
    'format',
    'ports',
    'index',
    'open',
    'open-spool',
    'spool/contents',
    'spool/empty',
    'bus/types',
    'bus/self-contract',
    'bus/self-activity',
    'bus/self-described',
    'delivery/counters',
    'delivery/durations',
    'delivery/limiter',
    'delivery/outgoing',
    'bus/self-message',
    'delivery/recently-ended',
    // to skip messages of a queue that no instance consumes
    'delivery/context',
    'work/queue/consumer',
    'work/held-message',
    'work/topics',
    ...asWritten('work'),
  ],
  host: ['base', 'contract', 'telemetry', 'index', 'config', 'options'],
  // The bus on in-memory ports: it needs the parts that openBus assembles otherwise.
  testing: ['base', 'contract', 'format', 'ports', 'delivery', 'bus', 'memory', 'index', 'config', 'options'],
  cli: ['base', 'contract', 'format/exact-json', 'inspect', 'telemetry', 'index', 'config', 'options'],
  config: ['base', 'options'],
  options: ['base', 'contract/options'], // settings have the same bounds as options in code
  'options-table': ['base'],
  index: ['base', 'contract', 'delivery', 'bus/types', 'open'],
  'wait-for-servers': ['base', 'ports'],
  // the only places that choose
  open: ['*'],
  'open-servers': ['*'],
  'open-spool': ['*'],
};
/** Files with the formats of work in a log, for folders that read them there. */
function asWritten(folder: string): readonly string[] {
  const parked = ['park', 'note', 'find', 'replay', 'stub'].map((file) => `parked/${file}`);
  const progress = ['commit-state', 'watermark'].map((file) => `progress/${file}`);
  return ['message', 'retention', 'types', ...parked, ...progress].map((file) => `${folder}/${file}`);
}

/** The rooms of a folder, one row for each layer: a file can import from its own room and from earlier rows. */
const rooms: Readonly<Record<string, readonly (readonly string[])[]>> = {
  embedded: [
    ['directory', 'store'],
    ['sockets', 'group'],
    ['log.ts', 'log-reader.ts', 'messenger.ts', 'registry.ts', 'settings.ts'],
    ['open.ts'],
  ],
  kafka: [
    ['protocol'],
    ['client'],
    ['cluster'],
    ['produce', 'consume'],
    ['group', 'messenger'],
    ['log.ts', 'messenger.ts'],
    ['open.ts'],
  ],
  work: [
    ['progress', 'ids', 'topics.ts', 'held-message.ts'],
    ['types.ts'],
    ['message.ts', 'encode-messages.ts'],
    ['append-queue.ts'],
    ['parked', 'retention.ts', 'submit.ts'],
    ['queue'],
  ],
  zookeeper: [['paths.ts'], ['session'], ['registry', 'settings'], ['registry.ts', 'settings.ts'], ['open.ts']],
};

/** External packages: the only folder that imports each. */
const homes: Readonly<Record<string, string>> = {
  '@standard-schema/spec': 'contract',
  eventemitter3: 'base',
  lmdb: 'disk',
  kafkajs: 'kafka',
  'node-zookeeper-client': 'zookeeper',
  tsyringe: 'host',
  'reflect-metadata': 'host',
  commander: 'cli',
  'string-width': 'cli',
  pino: 'telemetry',
  'prom-client': 'telemetry',
  '@opentelemetry/api': 'telemetry',
};

/** Folders that receive time, randomness and files as dependencies. */
const onPorts = ['request', 'work', 'broadcast', 'delivery', 'bus'];
const handedIn =
  /\b(?:Date\.now|new Date\(\)|performance\.|process\.|setTimeout|setInterval|setImmediate|Math\.random|randomUUID)/;
const handedInModules = /^node:(?:fs|net|http|dgram|child_process|cluster|worker_threads|timers|os|crypto|process)\b/;
/** Not in src, except in the clock and in code for the machine itself. */
const notElsewhere = /\b(?:Date\.now|setTimeout|setInterval|Math\.random|process\.hrtime)\b/;
const ofTheMachine = ['src/base/clock.ts', 'src/embedded/'];

interface Source {
  /** Path from the root of the repository, with '/'. */
  readonly file: string;
  readonly lines: readonly string[];
  /** The text with blanked comments, since comments can name forbidden words. */
  readonly code: string;
  readonly imports: readonly Import[];
}
interface Import {
  readonly line: number;
  readonly from: string;
  /** static: loaded with the file · lazy: by import() · type: removed by the compiler. */
  readonly how: 'static' | 'lazy' | 'type';
}

const root = path.join(__dirname, '..');
const sources = new Map<string, Source>();
for (const file of ['src', 'modules', 'examples', 'test', 'scripts'].flatMap(filesIn))
  sources.set(file, readSource(file));
const all = [...sources.values()];
const src = all.filter(({ file }) => file.startsWith('src/'));

function filesIn(folder: string): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === 'node_modules') return [];
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesIn(file);
    return /\.(?:ts|mjs|cjs)$/.test(entry.name) ? [file] : [];
  });
}

function readSource(file: string): Source {
  const text = readFileSync(path.join(root, file), 'utf8');
  const blank = (comment: string): string => comment.replace(/[^\n]/g, ' ');
  const code = text.replace(/('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (all, quoted) =>
    quoted === undefined ? blank(all) : all,
  );
  return { file, lines: text.replace(/\n$/, '').split('\n'), code, imports: importsOf(code) };
}

function importsOf(code: string): Import[] {
  const statement = /^[ \t]*(?:import|export)\b([^;'"]*?)\bfrom\s*'([^']+)'|^import\s*'([^']+)'/gm;
  const call = /\b(import|require)\(\s*'([^']+)'\s*\)/g;
  const lineOf = (index: number): number => code.slice(0, index).split('\n').length;
  const stated = [...code.matchAll(statement)].map(({ index, 0: whole, 1: names = '', 2: from, 3: bare }): Import => {
    const line = lineOf(index + whole.lastIndexOf(from ?? bare ?? ''));
    return { line, from: from ?? bare ?? '', how: isTypeOnly(names) ? 'type' : 'static' };
  });
  const called = [...code.matchAll(call)].map(({ index, 1: word, 2: from = '' }): Import => {
    return { line: lineOf(index), from, how: word === 'import' ? 'lazy' : 'static' };
  });
  return [...stated, ...called];
}

/** `import type …`, or braces in which every name is a `type`. */
function isTypeOnly(names: string): boolean {
  if (/^\s*type\b/.test(names)) return true;
  const braces = /^\s*\{([^}]*)\}\s*$/.exec(names)?.[1]?.trim();
  return braces !== undefined && braces.split(',').every((name) => /^\s*(?:type\s|$)/.test(name));
}

/** Returns the file of a relative import; undefined for packages and missing files. */
function resolve(file: string, from: string): string | undefined {
  if (!from.startsWith('.')) return undefined;
  const target = path.posix.join(path.posix.dirname(file), from);
  return [target, `${target}.ts`, `${target}/index.ts`].find((candidate) => sources.has(candidate));
}

function packageOf(from: string): string {
  return from.split('/', from.startsWith('@') ? 2 : 1).join('/');
}

/** `src/work/queue/consumer.ts` → ['work', 'work/take']; `src/open.ts` → ['open', 'open']. */
function placeOf(file: string): readonly [folder: string, name: string] {
  const name = file.replace(/^src\//, '').replace(/(?:\.d)?\.ts$/, '');
  return [name.split('/')[0] ?? name, name];
}

/** Returns all files, packages and built-in modules that loading `file` loads. */
function reach(file: string): Map<string, string> {
  const reached = new Map([[file, file]]);
  for (const [at] of reached)
    for (const { from, how, line } of sources.get(at)?.imports ?? []) {
      const target = resolve(at, from) ?? from;
      if (how === 'static' && !reached.has(target)) reached.set(target, `${at}:${line}`);
    }
  return reached;
}

/** Returns `file:line: text` of each line for which `isWrong` returns true. */
function linesWhere(
  files: readonly Source[],
  isWrong: (line: string) => boolean,
  text = (s: Source) => s.lines,
): string[] {
  return files.flatMap((source) =>
    text(source).flatMap((line, i) => (isWrong(line) ? [`${source.file}:${i + 1}: ${line.trim().slice(0, 100)}`] : [])),
  );
}
const codeLines = ({ code }: Source): readonly string[] => code.split('\n');

describe('src', () => {
  it('imports only along the table, and nothing outside src', () => {
    const faults = src.flatMap(({ file, imports }) =>
      imports.flatMap(({ from, line }) => {
        if (!from.startsWith('.')) return [];
        const target = resolve(file, from);
        if (!target?.startsWith('src/')) return [`${file}:${line}: '${from}' is not a file of src`];
        const [mine] = placeOf(file);
        const [theirs, name] = placeOf(target);
        const allowed = mayImport[mine] ?? [];
        if (mine === theirs || ['*', theirs, name].some((one) => allowed.includes(one))) return [];
        return [`${file}:${line}: ${mine} must not import ${name}`];
      }),
    );
    expect(faults).toEqual([]);
  });

  it('imports inside a folder only from earlier rooms', () => {
    const faults = src.flatMap(({ file, imports }) => {
      const [, folder = '', room = ''] = file.split('/');
      const layers = rooms[folder];
      if (!layers) return [];
      const layerOf = (name: string): number => layers.findIndex((layer) => layer.includes(name));
      if (layerOf(room) < 0) return [`${file}: has no room in the table`];
      return imports.flatMap(({ from, line }) => {
        const [, theirFolder, theirRoom = ''] = resolve(file, from)?.split('/') ?? [];
        if (theirFolder !== folder || theirRoom === room || layerOf(theirRoom) < layerOf(room)) return [];
        return [`${file}:${line}: ${room} must not import ${theirRoom}`];
      });
    });
    expect(faults).toEqual([]);
  });

  it('has no import cycle, including type imports', () => {
    const cyclic = src.filter(({ file }) => {
      const seen = new Set<string>();
      const next = [file];
      for (let at = next.pop(); at !== undefined; at = next.pop()) {
        for (const { from } of sources.get(at)?.imports ?? []) {
          const target = resolve(at, from);
          if (target === file) return true;
          if (target === undefined || seen.has(target)) continue;
          seen.add(target);
          next.push(target);
        }
      }
      return false;
    });
    expect(cyclic.map(({ file }) => file)).toEqual([]);
  });

  it('has a row for every folder, and no transport that imports another one', () => {
    const folders = new Set(src.map(({ file }) => placeOf(file)[0]));
    expect([...folders].filter((folder) => !(folder in mayImport))).toEqual([]);
    const makers = ['embedded', 'memory', 'kafka', 'zookeeper', 'disk'];
    const across = makers.flatMap((maker) => makers.filter((other) => mayImport[maker]?.includes(other)));
    expect(across).toEqual(['disk']); // by embedded
  });

  it('loads each external package in one folder only', () => {
    const faults = src.flatMap(({ file, imports }) =>
      imports.flatMap(({ from, line }) => {
        if (from.startsWith('.') || from.startsWith('node:')) return [];
        const home = homes[packageOf(from)];
        return home === placeOf(file)[0] ? [] : [`${file}:${line}: '${from}' belongs to ${home ?? 'no folder'}`];
      }),
    );
    expect(faults).toEqual([]);
  });

  it('declares exactly the packages that it loads', () => {
    const { dependencies: own, peerDependencies } = JSON.parse(
      readFileSync(path.join(root, 'package.json'), 'utf8'),
    ) as Record<'dependencies' | 'peerDependencies', Record<string, string>>;
    const dependencies = { ...own, ...peerDependencies };
    const loaded = src.flatMap(({ imports }) => imports.map(({ from }) => packageOf(from)));
    const packages = new Set(loaded.filter((name) => !name.startsWith('.') && !name.startsWith('node:')));
    expect([...packages].filter((name) => !(name in dependencies))).toEqual([]);
    expect(Object.keys(dependencies).filter((name) => !packages.has(name))).toEqual([]);
  });

  it('loads with index.ts only the package eventemitter3, the log without pino, and no transport', () => {
    const allowed =
      /^(?:node:|eventemitter3$|src\/(?:index|open|config|options|base|contract|format|ports|delivery|request|work|broadcast|bus)\b|src\/telemetry\/(?:stderr|log|registered)\.ts$)/;
    const faults = [...reach('src/index.ts')].filter(([target]) => !allowed.test(target));
    expect(faults.map(([target, place]) => `${place}: loads ${target}`)).toEqual([]);
  });

  it('loads with contract/index.ts only the contract and base/errors, to bundle anywhere', () => {
    const allowed = /^src\/(?:contract\/|base\/errors\.ts$)/;
    const faults = [...reach('src/contract/index.ts')].filter(([target]) => !allowed.test(target));
    expect(faults.map(([target, place]) => `${place}: loads ${target}`)).toEqual([]);
  });

  it('receives time, randomness and files as dependencies in folders that run on ports', () => {
    const core = src.filter(({ file }) => onPorts.includes(placeOf(file)[0]));
    const imported = core.flatMap(({ file, imports }) =>
      imports.flatMap(({ from, line }) => (handedInModules.test(from) ? [`${file}:${line}: '${from}'`] : [])),
    );
    expect([...imported, ...linesWhere(core, (line) => handedIn.test(line), codeLines)]).toEqual([]);
  });

  it('reads time and randomness only in base/clock and in code for the machine', () => {
    const others = src.filter(({ file }) => !ofTheMachine.some((place) => file.startsWith(place)));
    expect(linesWhere(others, (line) => notElsewhere.test(line), codeLines)).toEqual([]);
  });

  it('implements every close with closable, so that a failed close can be retried', () => {
    expect(linesWhere(src, (line) => /\breturn \(?this\.#?clos\w* \?\?= /.test(line), codeLines)).toEqual([]);
  });

  it('starts every file with a docstring', () => {
    const first = ({ lines }: Source): string => (lines[0]?.startsWith('#!') ? lines[1] : lines[0]) ?? '';
    expect(src.filter((source) => !first(source).startsWith('/**')).map(({ file }) => `${file}:1`)).toEqual([]);
  });

  it('has lines of at most 120 columns', () => {
    expect(linesWhere(src, (line) => line.length > 120)).toEqual([]);
  });

  it('has short files: 300 lines unless the first comment gives a reason, half below 120, and nine in base', () => {
    const reason = (source: Source): boolean => /\blong because\b/.test(commentsOf(source)[0] ?? '');
    const long = src.filter((source) => source.lines.length > 300 && !reason(source));
    expect(long.map(({ file, lines }) => `${file}:${lines.length}: more than 300 lines`)).toEqual([]);
    const lengths = src.map(({ lines }) => lines.length).toSorted((a, b) => a - b);
    expect(lengths[lengths.length >> 1]).toBeLessThanOrEqual(120);
    expect(src.filter(({ file }) => file.startsWith('src/base/')).length).toBeLessThanOrEqual(9);
  });
});

/** Words that name no actor or make programs speak, and first words of a comment that are neither noun nor verb. */
const vague =
  /\b(?:who|whoever|nobody|somebody|anybody|everybody|says|tells|told|said|hears|heard|asks|learns|learnt|anew|any more|but for|as far as|so (?:long|many|much|often)|mends?|mended|see to|none of ours)\b/i;
const riddle = /^(?:What|How|Who|Whether|Which|Of|As|That|Those|But|From)\b/;

/** Comments as one line each, without code in backticks. */
function commentsOf({ file }: Source): readonly string[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  const comment =
    /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*\*?([\s\S]*?)\*\/|((?:^[ \t]*\/\/[^\n]*\n)+|\/\/[^\n]*)/gm;
  return [...text.matchAll(comment)].flatMap(([, block, line]) => {
    const inside = (block ?? line)?.replaceAll(/^\s*(?:\*|\/\/)/gm, ' ').replaceAll(/`[^`]*`/g, '');
    return inside === undefined ? [] : [inside.replaceAll(/\s+/g, ' ').trim()];
  });
}

describe('the comments of src', () => {
  it('name the actor, and avoid verbs of speech', () => {
    const faults = src.flatMap((source) =>
      commentsOf(source).flatMap((text) => (vague.test(text) ? [`${source.file}: ${text.slice(0, 100)}`] : [])),
    );
    expect(faults).toEqual([]);
  });

  it('begin with a noun or a verb', () => {
    const faults = src.flatMap((source) =>
      commentsOf(source).flatMap((text) => (riddle.test(text) ? [`${source.file}: ${text.slice(0, 100)}`] : [])),
    );
    expect(faults).toEqual([]);
  });
});

/** Words that are correct in comments, but not in a text that a user reads. */
const vagueInTexts = /\b(?:trouble|lies|goes|comes|lives|is (?:gone|there)|once more)\b/i;

/** String literals that have a space, without what is inserted into templates. Comments are skipped. */
function textsOf({ file }: Source): readonly string[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  const literal =
    /'((?:\\.|[^'\\\n])*)'|"((?:\\.|[^"\\\n])*)"|`((?:\\.|\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\}|[^`\\])*)`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return [...text.matchAll(literal)].flatMap(([, single, double, template]) => {
    const inside = (single ?? double ?? template)?.replaceAll(/\$\{(?:[^{}`]|`[^`]*`|\{[^{}]*\})*\}/g, '#');
    return inside !== undefined && /\s/.test(inside) ? [inside.replaceAll(/\s+/g, ' ')] : [];
  });
}
/** Titles of tests, and of tables of tests. */
function titlesOf({ file }: Source): readonly string[] {
  const text = readFileSync(path.join(root, file), 'utf8');
  const title =
    /(?:^\s*(?:test|it|describe|heavy)[\w.]*(?:<[^\n]*>)?\(|^\s*\](?: as const)?\)\()\s*(?:'((?:\\.|[^'\\\n])*)'|`((?:\\.|[^`\\])*)`)/gm;
  return [...text.matchAll(title)].map(([, single, template]) => single ?? template ?? '');
}

describe('the texts of src', () => {
  it('name the actor, and avoid verbs of speech', () => {
    const faults = src.flatMap((source) =>
      textsOf(source)
        .filter((text) => vague.test(text) || vagueInTexts.test(text))
        .map((text) => `${source.file}: ${text.slice(0, 100)}`),
    );
    expect(faults).toEqual([]);
  });
});

describe('the titles of tests', () => {
  it('name the actor, and avoid verbs of speech', () => {
    const faults = all.flatMap((source) =>
      source.file.startsWith('test/')
        ? titlesOf(source).flatMap((text) => (vague.test(text) ? [`${source.file}: ${text.slice(0, 100)}`] : []))
        : [],
    );
    expect(faults).toEqual([]);
  });
});

describe('the repository', () => {
  it('has no file or folder with a meaningless name', () => {
    const banned = /(?:^|[/.-])(?:utils?|helpers?|commons?|managers?|impl|services?|misc)(?=[/.-]|$)/i;
    expect(all.map(({ file }) => file).filter((file) => banned.test(file))).toEqual([]);
  });

  it('has no TODO', () => {
    const others = all.filter(({ file }) => file !== 'test/tidy.test.ts');
    expect(linesWhere(others, (line) => /\b(?:TODO|FIXME|XXX)\b/.test(line))).toEqual([]);
  });
});

describe('modules', () => {
  it('import only the contract of each other', () => {
    const faults = all.flatMap(({ file, imports }) => {
      const mine = /^modules\/([^/]+)\//.exec(file)?.[1];
      if (mine === undefined) return [];
      return imports.flatMap(({ from, line }) => {
        const [, theirs, name] = /^modules\/([^/]+)\/(.+)\.ts$/.exec(resolve(file, from) ?? '') ?? [];
        const isOpen = theirs === undefined || theirs === mine || name === 'contract';
        return isOpen ? [] : [`${file}:${line}: '${from}' is private to ${theirs}`];
      });
    });
    expect(faults).toEqual([]);
  });

  it('import busbar as a package, as the examples do', () => {
    const faults = all.flatMap(({ file, imports }) =>
      /^(?:modules|examples)\//.test(file)
        ? imports.flatMap(({ from, line }) => {
            const target = resolve(file, from);
            return target?.startsWith('src/') ? [`${file}:${line}: '${from}': import busbar`] : [];
          })
        : [],
    );
    expect(faults).toEqual([]);
  });
});
