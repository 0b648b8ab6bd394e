/** Exports `busbar/inspect`, which inspects queues and instances from outside, and which the `busbar` command uses. */
export { openInspector } from './inspector';
export type { Inspector, NamedQueue, TailOptions } from './inspector';
export { askCheck } from './check';
export type { Known, Unknown } from './check';
export { consoleModule } from './instances';
export { findListener, forgetListener } from './forget';
export { findQueues, nearNames } from './names';
export type { QueueName, Source } from './names';
export { choose, dropChosen, readChosen, replayChosen } from './repair';
export type { Chosen, ChosenMessage, Exported, RepairOptions, Selection } from './repair';
export { inspect } from './open';
export type { Inspection, InspectOptions } from './open';
export type { Setting, Settings } from '../ports/settings';
export type { InstanceStatus, PendingStatus, RequestStatus } from '../bus/self-contract';
export type { Decoded } from '../format/codec';
export type { Attempt } from '../work/message';
export type { Repaired } from '../work/parked/replay';
export type { QueueStats, Running, Unserved } from '../work/types';
export { NotParked, StoppedEarly, UnknownName } from './types';
export type {
  Alarm,
  FoundView,
  InspectorParts,
  InstanceView,
  MessageFilter,
  MessageView,
  ParkedView,
  PlaceView,
  QueueState,
  QueueView,
  Severity,
  StubView,
  SystemStatus,
  UnservedView,
  WaitingView,
} from './types';
