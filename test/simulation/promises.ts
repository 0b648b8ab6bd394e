/** The checked promises, in the words of docs/guarantees.md. */

export const promises = {
  lost: 'every message that submit or publish resolved is handled or parked in each of its queues',
  phantom: 'every handled message was sent, byte for byte',
  refused: 'a refused message is never delivered',
  twice: 'no message is handled again after its settling was committed, or without a partition loss',
  unkept: 'no message starts while settled messages could not be committed for long',
  order: 'messages of one sender and key are handled in order',
  lane: 'a message that is retried in order holds its lane',
  keys: 'no two handlers of one key run at once',
  owner: 'a partition has one owner at a time',
  commit: 'no commit passes the lowest unsettled message',
  attempt: 'an attempt counts that was started or about to start, up to the attempts of the entry',
  request: 'a request ends once, by its deadline, in the outcome of its handler',
  started: 'a request is started once by an instance, elsewhere only if idempotent, and not after its deadline',
  fetched: 'records written to an owned partition are read promptly, wherever its leader moves',
  broadcast: 'a broadcast reaches every announced instance once, in the order of its sender',
  listen: 'an event reaches every listening instance once, in the order of its sender and key',
  raw: 'unreadable records are parked unchanged',
  bounds: 'handlers stay within the allowed concurrency',
  progress: 'work continues during faults, and requests are answered soon after them',
  drained: 'everything drains once the faults end',
  health: 'an instance whose store rejects every write is neither live nor ready',
  listed: 'a running instance is announced, also when its files were removed',
  closing: 'a bus closes',
  quiet: 'no error is uncaught',
} as const;
export type Promised = keyof typeof promises;
