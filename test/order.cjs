/**
 * The order of test files: first files that need the cluster alone, each beside files that need no cluster, so that no
 * worker waits for the cluster; then files that share it.
 */
const { readFileSync } = require('node:fs');
const { default: Sequencer } = require('@jest/test-sequencer');

class Order extends Sequencer {
  async sort(tests) {
    const files = (await super.sort(tests)).map((test) => ({ test, text: readFileSync(test.path, 'utf8') }));
    const shared = files.filter(({ text }) => text.includes('kafkaSuite('));
    const alone = shared.filter(({ text }) => text.includes('alone: true'));
    const others = files.filter((file) => !shared.includes(file));
    const first = alone.flatMap((file, i) => [file, ...others.filter((_, n) => n % alone.length === i)]);
    const rest = shared.filter((file) => !alone.includes(file));
    return [...(alone.length > 0 ? first : others), ...rest].map(({ test }) => test);
  }
}
module.exports = Order;
