/** The promises that are checked, in the words of the table that makes them. */

export const promises = {
  lost: 'what submit and publish resolved is handled or parked in every queue it is for',
  phantom: 'what is handled was sent, byte for byte',
  refused: 'what was refused is never delivered',
  twice: 'nothing is handled again after its settling was committed, or without a loss',
  unkept: 'nothing is started while settled messages cannot be committed for long',
  order: 'per sender and key messages are handled in order',
  lane: 'a message that is tried again in order holds its lane',
  keys: 'no two handlers of one key at once',
  owner: 'one owner of a partition at a time',
  commit: 'no commit goes beyond the lowest unsettled message',
  attempt: 'an attempt counts that was started, or was just to be, and none above what the entry allows',
  request: 'a request ends once, by its deadline, in what came of it',
  started: 'a request is never started twice by one instance, elsewhere only if idempotent, and not after its deadline',
  fetched: 'what is written to a partition that an instance owns is read there soon, wherever its leader moves',
  broadcast: 'a broadcast reaches every announced instance once, in the order of its sender',
  listen: 'an event reaches every listening instance once, in the order of its sender and key',
  raw: 'bytes that are no message are parked as they are',
  bounds: 'no more handlers at once than allowed',
  progress: 'work goes on while things go wrong, and requests are answered soon after',
  drained: 'once nothing goes wrong any more everything drains',
  health: 'an instance whose store refuses every write is neither live nor ready',
  listed: 'an instance that is up is announced, also when its files were removed',
  closing: 'a bus closes',
  quiet: 'nothing is thrown that nobody catches',
} as const;
export type Promised = keyof typeof promises;
