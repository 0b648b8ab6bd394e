/**
 * Any Unicode character, as a unit of `fc.string`. The unit 'binary' of fast-check first builds a table of all 1.1
 * million.
 */
import fc from 'fast-check';

const surrogates = { from: 0xd800, count: 0x800 };

export const anyCharacter = fc.nat(0x10ffff - surrogates.count).map(
  (n) => String.fromCodePoint(n < surrogates.from ? n : n + surrogates.count),
  (text) => {
    const [character, ...more] = typeof text === 'string' ? text : '';
    const point = character?.codePointAt(0) ?? surrogates.from;
    const surrogate = point >= surrogates.from && point < surrogates.from + surrogates.count;
    if (more.length > 0 || surrogate) throw new Error('not one character'); // an unmapper throws for a value that it did not generate
    return point < surrogates.from ? point : point - surrogates.count;
  },
);
