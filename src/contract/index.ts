/** Exports everything that a contract needs. It loads no dependency, so that a browser bundle can contain contracts. */
export { BusError, Failure, isBusError } from '../base/errors';
export type { AnyBusError, BusCode, BusDetails, Issue, Origin, SendOutcome } from '../base/errors';
export { broadcast, defineModule, event, request, unchecked, work } from './contract';
export type { EventOptions, RequestOptions, WorkOptions } from './contract';
export { fingerprint } from './fingerprint';
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
  Schema,
  Work,
} from './types';
