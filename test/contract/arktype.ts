/** Uses arktype in plain Node.js: it is an ES module, which jest cannot load from CommonJS before Node 24.9. */
import { type } from 'arktype';
import { isBusError } from '../../src/base/errors';
import { check } from '../../src/contract/check';
import { defineModule, event } from '../../src/contract/contract';
import { fingerprint } from '../../src/contract/fingerprint';
import { overWire } from './over-wire';

const schema = type({ photo: { width: 'number' }, sides: 'string[]' });
const print = (definition: 'string' | 'number') =>
  fingerprint(defineModule('m', { e: event(type({ a: definition })) }));

function refused(): unknown {
  try {
    return check(schema, { photo: { width: 'x' }, sides: ['a', 1] }, 'reply', 'm.e');
  } catch (error) {
    return isBusError(error, 'Invalid')
      ? { message: error.message, paths: error.details.issues.map((i) => i.path) }
      : error;
  }
}
const written = async (): Promise<string> =>
  JSON.stringify({
    good: check(schema, { photo: { width: 3 }, sides: ['a'] }, 'input', 'm.e'),
    transformed: check(type('string.numeric.parse'), '12', 'input', 'm.e'),
    refused: refused(),
    prints: [print('string'), print('string'), print('number')],
    wire: await overWire(schema),
  });
void written().then((text) => process.stdout.write(text));
