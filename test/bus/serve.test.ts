/** The time at which a serving instance becomes reachable. */
import { photos, inspectedBuses } from '../support/inspected-buses';

test('an instance answers requests while its queue waits for the group', async () => {
  const { clock, world, open, soon } = inspectedBuses();
  const [server, web] = [await open('photos'), await open('web')];
  world.faults = ({ call }) => (call === 'join' ? { delayMs: 20_000 } : undefined);
  let serves = false;
  const serving = server
    .serve(photos, { add: ({ name }) => name, resize: () => undefined, rotate: () => undefined })
    .then(() => (serves = true));
  await clock.advance(100);
  expect(await soon(web.request(photos.add, { name: 'alps' }))).toBe('alps');
  expect(serves).toBe(false);
  await clock.advance(60_000);
  await serving;
});
