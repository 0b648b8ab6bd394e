/** What a contract needs and nothing else: loads no dependency, so a browser bundle can hold it too. */
export { BusError, Failure, isBusError } from '../base/errors';
export type { AnyBusError, BusCode, BusDetails, Issue } from '../base/errors';
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
