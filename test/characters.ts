/** Any character there is, as a unit of `fc.string`: fast-check's own 'binary' first makes a table of all 1.1 million. */
import fc from 'fast-check';

const surrogates = { from: 0xd800, count: 0x800 };

export const anyCharacter = fc.nat(0x10ffff - surrogates.count).map(
  (n) => String.fromCodePoint(n < surrogates.from ? n : n + surrogates.count),
  (text) => {
    const [character, ...more] = typeof text === 'string' ? text : '';
    const point = character?.codePointAt(0) ?? surrogates.from;
    const surrogate = point >= surrogates.from && point < surrogates.from + surrogates.count;
    if (more.length > 0 || surrogate) throw new Error('not one character'); // how an unmapper says that it did not make it
    return point < surrogates.from ? point : point - surrogates.count;
  },
);
