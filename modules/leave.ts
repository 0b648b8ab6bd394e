/** Preloaded into every child of `npm start`: when the parent ends for any reason, the child exits too. */

const drainMs = 10_000;

function leave(): void {
  process.kill(process.pid, 'SIGTERM'); // the usual exit: finish running work, revoke partitions, close
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), drainMs).unref();
}
if (process.connected) process.once('disconnect', leave);
else leave(); // the parent ended while this process started
process.channel?.unref(); // watching the parent must not keep the process running
