/** Jest's global teardown: ends the servers of the run. */
export default async function teardown(): Promise<void> {
  await globalThis.busbarCluster?.close();
}
