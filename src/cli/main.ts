#!/usr/bin/env node
/** Starts the command `busbar`. */
import { main } from './program';

void main(process.argv);
