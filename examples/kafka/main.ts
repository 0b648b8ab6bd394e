/** Runs on one machine, or between machines on Kafka and ZooKeeper. The environment decides; the code is the same. */
import { defineModule, openBus, request, work } from 'busbar';
import { z } from 'zod';

const images = defineModule('images', {
  scale: work(z.object({ image: z.string() }), { key: (job) => job.image }),
  count: request(z.undefined(), z.number()),
});

// No option names servers: BUSBAR_TRANSPORT, BUSBAR_BROKERS and BUSBAR_ZOOKEEPER do, or a configuration file.
const scaler = await openBus({ module: images });
const web = await openBus({ module: 'web' });

let scaled = 0;
let allScaled = (): void => undefined;
const done = new Promise<void>((resolve) => (allScaled = resolve));
await scaler.serve(images, {
  scale: ({ image }) => {
    console.log(`scaled ${image}`);
    if (++scaled === 3) allScaled();
  },
  count: () => scaled,
});

// 'disk': survives a crash of the process. 'broker': in Kafka on all in-sync replicas, survives the loss of the machine.
for (const image of ['alps', 'sea', 'city']) {
  const { reached } = await web.submit(images.scale, { image });
  console.log(`stored ${image}: ${reached}`);
}
await done;
console.log(`count: ${await web.request(images.count)}`);

await web.close();
await scaler.close();
