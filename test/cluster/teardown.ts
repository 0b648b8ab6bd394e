/** After the Kafka suites of a run: ends the servers. */
export default async function teardown(): Promise<void> {
  await globalThis.busbarCluster?.close();
}
