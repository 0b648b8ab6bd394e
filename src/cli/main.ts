#!/usr/bin/env node
/** Where the command `busbar` starts. */
import { main } from './program';

void main(process.argv);
