// The echo as a NestJS microservice over Kafka: `serve` runs in another process, `openCaller` in that of the caller.
require('reflect-metadata');
process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1';
const { Controller, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { ClientProxyFactory, MessagePattern, Transport } = require('@nestjs/microservices');
const { Kafka } = require('kafkajs');
const { firstValueFrom } = require('rxjs');

const brokers = (process.env.BUSBAR_BROKERS ?? '').split(',');
const pattern = `${process.env.BUSBAR_NS}.nest-echo`;
const optionsFor = (groupId) => ({
  transport: Transport.KAFKA,
  options: { client: { brokers, logLevel: 1 }, consumer: { groupId: `${pattern}.${groupId}` } },
});

async function serve() {
  class Echo {
    echo(order) {
      return order;
    }
  }
  Controller()(Echo);
  MessagePattern(pattern)(Echo.prototype, 'echo', Object.getOwnPropertyDescriptor(Echo.prototype, 'echo'));
  class App {}
  Module({ controllers: [Echo] })(App);
  const app = await NestFactory.createMicroservice(App, { ...optionsFor('server'), logger: false });
  await app.listen();
}

/** Resolves when its topics exist and its consumer has been assigned its partitions. */
async function openCaller() {
  const client = ClientProxyFactory.create(optionsFor('client'));
  client.subscribeToResponseOf(pattern);
  await client.connect();
  return {
    request: (order) => firstValueFrom(client.send(pattern, order)),
    close: () => client.close(),
  };
}

async function makeTopics() {
  const admin = new Kafka({ brokers, logLevel: 1 }).admin();
  await admin.connect();
  const topics = [pattern, `${pattern}.reply`].map((topic) => ({ topic, numPartitions: 2 }));
  await admin.createTopics({ topics, waitForLeaders: true });
  await admin.disconnect();
}

module.exports = { serve, openCaller, makeTopics };
