/** Preloaded into every child of `npm start`: when the parent is gone, however it went, the child leaves too. */

const drainMs = 10_000;

function leave(): void {
  process.kill(process.pid, 'SIGTERM'); // the same way out as everybody's: finish, let go, close
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), drainMs).unref();
}
if (process.connected) process.once('disconnect', leave);
else leave(); // it died while we started
process.channel?.unref(); // watching the parent is no reason to stay
