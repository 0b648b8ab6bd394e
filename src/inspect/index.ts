/** Exports `busbar/inspect`, which inspects queues and instances from outside, and which the `busbar` command uses. */
export { openInspector } from './inspector';
export type { Inspector, NamedQueue, ResolvedQueue, TailOptions } from './inspector';
export type { ActivityFilter, ActivityList, PendingView, RunningView } from './activity';
export type { PendingRequest, RunningHandler, WaitingRequest } from '../bus/self-activity';
export { byNames } from './by';
export type { By, CountByOptions } from './by';
export { findPause, pause, resume } from './pause';
export type { PauseSettings } from './pause';
export type { Pause } from '../work/types';
export { readHistory } from './history';
export type { HistoryView } from './history';
export { readAudit, recordChange } from './audit';
export type { AuditEntry, Change, ChangeEnd } from './audit';
export { planSkip, skipMessages } from './skip';
export type { SkipOptions, SkipPlan, SkippedMessage, SkipResult, SkipSelection } from './skip';
export type { Biography } from './biography';
export type { Step } from './biography-steps';
export type { TreeNode } from './tree';
export type { Facts, LaneView, OnInstance } from './why';
export type { EndedMessage } from '../delivery/recently-ended';
export type { HeldInQueue } from '../bus/self-message';
export type { HeldFailure } from '../work/held-message';
export type { RepairOf } from './parked';
export { differences } from './difference';
export type { ContractAnswer, ContractText, EntryText } from '../bus/self-described';
export { askCheck } from './check';
export type { Known, Unknown } from './check';
export { consoleModule } from './instances';
export { findListener, forgetListener } from './forget';
export { findQueues, nearNames } from './names';
export { findOwnQueue } from './own-queue';
export type { QueueName, Source } from './names';
export { choose, dropChosen, readChosen, replayChosen } from './repair';
export type { Chosen, ChosenMessage, Exported, RepairOptions, Selection } from './repair';
export { inspect } from './open';
export { drainSpool, openSpoolRepair, spool, spoolMessages } from './spool';
export type { SpoolExported, SpoolMessage, SpoolRepair, SpoolRepairOptions, SpoolSelection, SpoolView } from './spool';
export type { DrainOptions } from '../open-spool';
export type { SpoolContents, SpoolParked, SpoolTopic } from '../spool/contents';
export type { Emptied, EmptyOptions } from '../spool/empty';
export type { Inspection, InspectOptions } from './open';
export type { Setting, Settings } from '../ports/settings';
export type { InstanceStatus, PendingStatus, RequestStatus } from '../bus/self-contract';
export type { Decoded } from '../format/codec';
export type { Attempt } from '../work/message';
export type { Repaired } from '../work/parked/replay';
export type { Condition, QueueLoad, QueueStats, Retrying, Running, Unserved } from '../work/types';
export type { EntryCounts } from '../delivery/counters';
export type { Spread } from '../delivery/durations';
export type { HandlerLimits } from '../delivery/limiter';
export type { Failing, OutgoingCounts } from '../delivery/outgoing';
export { NotParked, NotRecorded, NotWaiting, StoppedEarly, UnknownName } from './types';
export type {
  Alarm,
  EntryView,
  FoundView,
  InspectorParts,
  InstanceView,
  MessageFilter,
  MessageView,
  ParkedView,
  ParkedKind,
  PlaceView,
  QueueByView,
  QueueKind,
  QueueState,
  QueueView,
  SenderView,
  Severity,
  StubView,
  SystemStatus,
  UnservedView,
  WaitingView,
} from './types';
