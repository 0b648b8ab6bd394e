/** Public API for authors of modules: contracts, the bus, and errors. */
export { openBus } from './open';
export type { OpenOptions } from './open';

// contracts
export { broadcast, defineModule, event, request, unchecked, work } from './contract/contract';
export type { EventOptions, RequestOptions, WorkOptions } from './contract/contract';
export { fingerprint } from './contract/fingerprint';
export type {
  AnyContract,
  AnyEntry,
  Body,
  Broadcast,
  Contract,
  Event,
  FailureOf,
  Input,
  Output,
  Reply,
  Request,
  RetryKind,
  Schema,
  Work,
} from './contract/types';

// handlers
export { handler } from './delivery/handler';
export type { Awaitable, Handler, Handlers } from './delivery/handler';
export type { Baggage, Context, ContextLog, Fail, Peer, RequestContext, WorkContext } from './delivery/context';
export type { Delivery, Middleware, Settlement } from './delivery/middleware';

// the bus
export type {
  Answer,
  Bus,
  BusStats,
  Call,
  EntryLoad,
  Health,
  ListenOptions,
  MessagePlace,
  ParkedCount,
  QueueBacklog,
  RequestCall,
  RequestCode,
  RequestFailure,
  RequestLoad,
  Result,
  Sent,
  Served,
  ServeOptions,
  SubmitAllCall,
  SubmitCall,
  Submitted,
} from './bus/types';

// errors and notices
export { BusError, Failure, isBusError } from './base/errors';
export type { AnyBusError, BusCode, BusDetails, Issue, Origin, SendOutcome } from './base/errors';
export type { Closable } from './base/lifecycle';
export type { StatePart } from './base/parts';
export type { LogLevel, Notice } from './base/notices';
