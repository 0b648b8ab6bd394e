#!/usr/bin/env node
/** Starts the command `busbar`. */
import { main } from './program';

// The reader of the help, such as `head`, can close the pipe. That is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});
void main(process.argv);
