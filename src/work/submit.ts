/** Sends work and events: checks, encodes, stamps, and appends what one turn of the event loop brought together. */
import type { Sender, SenderParts } from './types';

export function openSender(_parts: SenderParts): Sender {
  throw new Error('being built');
}
