/** Presses ^C as soon as the command that it is loaded into writes a line: a test beside it might come too late. */
const write = process.stderr.write.bind(process.stderr);
process.stderr.write = (text, ...more) => {
  const written = write(text, ...more);
  if (String(text).includes(process.env.INTERRUPTED_AT)) process.kill(process.pid, 'SIGINT');
  return written;
};
