import fc from 'fast-check';
import { checkName, namesIn, parseGroup, parseTopic, queueOf } from '../../src/format/names';
import { defineModule, event } from '../../src/contract/contract';
import { unchecked } from '../../src/contract';

const names = namesIn('prod');
const word = fc.stringMatching(/^[a-z][a-zA-Z0-9-]{0,62}$/);

describe('names', () => {
  it('gives every topic and group its documented name', () => {
    expect(names.work('photos')).toBe('prod.photos.work');
    expect(names.work('photos', 'slow')).toBe('prod.photos.work.slow');
    expect(names.broadcast('web')).toBe('prod.web.broadcast');
    expect(names.events('photos')).toBe('prod.photos.events');
    expect(names.parked('photos')).toBe('prod.photos.parked');
    expect(names.inbox()).toBe('prod.inbox');
    expect(names.workGroup('photos')).toBe('prod.photos.work');
    expect(names.listenGroup('search', 'index', 'photos.added')).toBe('prod.search.index.photos.added');
    expect(queueOf('photos', 'resize')).toBe('photos.resize');
  });

  it('parses its own topic and group names', () => {
    fc.assert(
      fc.property(word, word, word, word, word, (ns, module, queue, as, other) => {
        const mine = namesIn(ns);
        expect(parseTopic(mine.work(module))).toEqual({ namespace: ns, kind: 'work', module });
        expect(parseTopic(mine.work(module, queue))).toEqual({ namespace: ns, kind: 'work', module, queue });
        for (const kind of ['broadcast', 'events', 'parked'] as const)
          expect(parseTopic(mine[kind](module))).toEqual({ namespace: ns, kind, module });
        expect(parseTopic(mine.inbox())).toEqual({ namespace: ns, kind: 'inbox' });
        expect(parseGroup(mine.workGroup(module, queue))).toEqual({ namespace: ns, kind: 'work', module, queue });
        const entry = `${other}.${queue.replaceAll('-', '')}`;
        expect(parseGroup(mine.listenGroup(module, as, entry))).toEqual({
          namespace: ns,
          kind: 'listen',
          listener: module,
          as,
          entry,
        });
      }),
    );
  });

  it('separates listeners that use one `as` for entries of two modules', () => {
    expect(names.listenGroup('search', 'index', 'photos.added')).not.toBe(
      names.listenGroup('search', 'index', 'users.added'),
    );
  });

  it.each([
    '',
    '.',
    '..',
    '../x',
    'a b',
    'A',
    '1a',
    'ä',
    '😀',
    '__consumer_offsets',
    'a.b',
    'a_b',
    'x'.repeat(64),
    'a\n',
  ])('rejects %j everywhere with the kind of name and the rule', (bad) => {
    for (const call of [() => namesIn(bad), () => names.work(bad), () => names.work('photos', bad)])
      expect(call).toThrow(expect.objectContaining({ code: 'Config' }));
    expect(() => names.listenGroup('search', bad, 'photos.added')).toThrow(/^as '.*' does not match \^\[a-z\]/s);
    expect(() => names.listenGroup('search', 'index', `photos.${bad}`)).toThrow(/does not match/);
  });

  it('accepts exactly the module and entry names that a contract accepts', () => {
    const text = fc.oneof(word, fc.string({ maxLength: 70 }), fc.stringMatching(/^[a-zA-Z0-9.-]{0,66}$/));
    const passes = (run: () => unknown): boolean => {
      try {
        run();
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(text, (name) => {
        fc.pre(!['then', 'constructor', 'open', 'close', '__proto__'].includes(name));
        expect(passes(() => checkName('module', name))).toBe(passes(() => defineModule(name, {})));
        const entries = { [name]: event(unchecked<string>()) };
        expect(passes(() => checkName('entry', name))).toBe(passes(() => defineModule('m', entries)));
      }),
    );
  });

  it('stays within the 249 characters of a Kafka topic for any names', () => {
    const longest = 'x'.repeat(63);
    expect(namesIn(longest).work(longest, longest).length).toBeLessThanOrEqual(249);
  });

  it.each([
    'prod.photos',
    'other',
    'prod.photos.work.a.b',
    'prod.photos.events.a',
    'prod..work',
    '',
    'a b.inbox',
    'prod.inbox.work.',
  ])('returns undefined for the foreign topic %j', (topic) => {
    expect(parseTopic(topic)).toBeUndefined();
  });

  it.each(['prod.photos.events', 'prod.inbox', 'my-console-consumer', 'prod.a.b.c.d.e', 'prod.a.b.c.d-e'])(
    'returns undefined for the foreign group %j',
    (group) => {
      expect(parseGroup(group)).toBeUndefined();
    },
  );

  it('accepts keys of settings only as words with dots', () => {
    expect(checkName('setting', 'photos.concurrency.resize')).toBe('photos.concurrency.resize');
    for (const bad of ['', '.a', 'a.', 'a..b', '/a', 'a/b', `a${'.b'.repeat(100)}`])
      expect(() => checkName('setting', bad)).toThrow(expect.objectContaining({ code: 'Config' }));
  });
});
