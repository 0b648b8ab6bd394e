/** Maps Kafka's error codes to the client's reactions, and defines the one error type that Kafka requests throw. */
import { type BusCode, BusError, errorMessage, sentence } from '../../base/errors';

/**
 * Reaction of the client to an error.
 * `retry`: retry after a pause · `leader`: look up the partition's leader, then retry · `coordinator`: look up the
 * group's coordinator, then retry · `rejoin`: join again with the same member id · `newMember`: the assigned partitions
 * are lost, so join as a new member · `useAssignedId`: join again with the assigned member id · `offsetMissing`: the
 * requested offset does not exist · `rejected`: never retry this request · `fatal`: do not retry until an operator
 * changes permissions or settings.
 */
export type NextStep =
  | 'retry'
  | 'leader'
  | 'coordinator'
  | 'rejoin'
  | 'newMember'
  | 'useAssignedId'
  | 'offsetMissing'
  | 'rejected'
  | 'fatal';

interface Row {
  readonly number: number;
  readonly step: NextStep;
  /** True if the broker can have executed the request despite the error. */
  readonly uncertain: boolean;
  /** Code of the BusError that callers of the bus receive. */
  readonly bus: BusCode;
}
function row(number: number, step: NextStep, more: Partial<Row> = {}): Row {
  return { number, step, uncertain: false, bus: step === 'fatal' ? 'Config' : 'Unreachable', ...more };
}
const unsure = { uncertain: true } as const;
const notAllowed = { bus: 'NotAllowed' } as const;
const tooLarge = { bus: 'TooLarge' } as const;

/** Reactions by Kafka's error names. Numbers below -1 belong to errors of this client, which no broker sends. */
const rows = {
  UNKNOWN_SERVER_ERROR: row(-1, 'retry', unsure),
  OFFSET_OUT_OF_RANGE: row(1, 'offsetMissing'),
  CORRUPT_MESSAGE: row(2, 'retry'),
  UNKNOWN_TOPIC_OR_PARTITION: row(3, 'leader'),
  LEADER_NOT_AVAILABLE: row(5, 'leader'),
  // Also sent when the leader moves while the record waits for its replicas, so the record can be written.
  NOT_LEADER_OR_FOLLOWER: row(6, 'leader', unsure),
  REQUEST_TIMED_OUT: row(7, 'retry', unsure),
  BROKER_NOT_AVAILABLE: row(8, 'leader'),
  REPLICA_NOT_AVAILABLE: row(9, 'leader'),
  MESSAGE_TOO_LARGE: row(10, 'rejected', tooLarge),
  OFFSET_METADATA_TOO_LARGE: row(12, 'rejected', tooLarge),
  NETWORK_EXCEPTION: row(13, 'leader', unsure),
  COORDINATOR_LOAD_IN_PROGRESS: row(14, 'retry'),
  COORDINATOR_NOT_AVAILABLE: row(15, 'coordinator'),
  NOT_COORDINATOR: row(16, 'coordinator'),
  INVALID_TOPIC_EXCEPTION: row(17, 'fatal'),
  RECORD_LIST_TOO_LARGE: row(18, 'rejected', tooLarge),
  NOT_ENOUGH_REPLICAS: row(19, 'retry'),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: row(20, 'retry', unsure),
  ILLEGAL_GENERATION: row(22, 'newMember'),
  INCONSISTENT_GROUP_PROTOCOL: row(23, 'fatal'),
  INVALID_GROUP_ID: row(24, 'fatal'),
  UNKNOWN_MEMBER_ID: row(25, 'newMember'),
  INVALID_SESSION_TIMEOUT: row(26, 'fatal'),
  REBALANCE_IN_PROGRESS: row(27, 'rejoin'),
  INVALID_COMMIT_OFFSET_SIZE: row(28, 'rejected', tooLarge),
  TOPIC_AUTHORIZATION_FAILED: row(29, 'fatal', notAllowed),
  GROUP_AUTHORIZATION_FAILED: row(30, 'fatal', notAllowed),
  CLUSTER_AUTHORIZATION_FAILED: row(31, 'fatal', notAllowed),
  INVALID_TIMESTAMP: row(32, 'rejected'),
  UNSUPPORTED_SASL_MECHANISM: row(33, 'fatal'),
  /** The listener accepts no login, or expects another handshake first. */
  ILLEGAL_SASL_STATE: row(34, 'fatal'),
  UNSUPPORTED_VERSION: row(35, 'fatal'),
  TOPIC_ALREADY_EXISTS: row(36, 'rejected'),
  INVALID_PARTITIONS: row(37, 'fatal'),
  INVALID_REPLICATION_FACTOR: row(38, 'fatal'),
  INVALID_CONFIG: row(40, 'fatal'),
  NOT_CONTROLLER: row(41, 'leader'),
  INVALID_REQUEST: row(42, 'rejected'),
  POLICY_VIOLATION: row(44, 'fatal'),
  // The batch was not written: the broker lacks the batch before it, or has a later one or a higher producer epoch.
  OUT_OF_ORDER_SEQUENCE_NUMBER: row(45, 'retry'),
  INVALID_PRODUCER_EPOCH: row(47, 'retry'),
  KAFKA_STORAGE_ERROR: row(56, 'leader', unsure),
  SASL_AUTHENTICATION_FAILED: row(58, 'fatal', notAllowed),
  UNKNOWN_PRODUCER_ID: row(59, 'retry'),
  NON_EMPTY_GROUP: row(68, 'rejected'),
  GROUP_ID_NOT_FOUND: row(69, 'rejected'),
  FENCED_LEADER_EPOCH: row(74, 'leader'),
  UNKNOWN_LEADER_EPOCH: row(75, 'leader'),
  UNSUPPORTED_COMPRESSION_TYPE: row(76, 'fatal'),
  OFFSET_NOT_AVAILABLE: row(78, 'leader'),
  MEMBER_ID_REQUIRED: row(79, 'useAssignedId'),
  GROUP_MAX_SIZE_REACHED: row(81, 'fatal'),
  FENCED_INSTANCE_ID: row(82, 'newMember'),
  INVALID_RECORD: row(87, 'rejected'),
  UNSTABLE_OFFSET_COMMIT: row(88, 'retry'),
  THROTTLING_QUOTA_EXCEEDED: row(89, 'retry'),
  /** No response arrived in time. If the request was sent, its connection was closed. */
  DEADLINE: row(-101, 'leader', unsure),
  /** The connection failed, or ended before the response. */
  CONNECTION: row(-102, 'leader', unsure),
  /** The response does not confirm the request, or cannot be read. */
  UNVERIFIED: row(-103, 'leader', unsure),
  /** The address of the node is unknown. */
  UNKNOWN_NODE: row(-104, 'leader'),
  /** The response, or a record in it, violates the protocol. */
  UNDECODABLE: row(-105, 'rejected'),
  /** The TLS handshake failed, for example because the server's certificate is not trusted. */
  TLS: row(-106, 'fatal'),
  /** A secret that the settings name is missing or cannot be read. */
  SECRET: row(-107, 'fatal'),
  /** This client was closed. */
  CLOSED: row(-108, 'rejected', { bus: 'Closed', uncertain: true }),
} as const satisfies Readonly<Record<string, Row>>;

export type KafkaErrorCode = keyof typeof rows;
const names = new Map(Object.entries(rows).map(([name, { number }]) => [number, name]));

/** Error of one request, or of one partition in it. */
export class KafkaError extends Error {
  override readonly name = 'KafkaError';
  readonly step: NextStep;
  /** True if the broker can have executed the request. Never true when nothing was sent. */
  readonly uncertain: boolean;
  /** Member id that the coordinator assigned, with MEMBER_ID_REQUIRED. */
  readonly memberId: string | undefined;
  /** First offset after records that arrived and cannot be read. */
  readonly until: number | undefined;

  constructor(
    /** Kafka's name of the error, or a name of this client. Unknown names count as UNKNOWN_SERVER_ERROR. */
    readonly code: KafkaErrorCode | (string & {}),
    message: string,
    facts: { sent?: boolean; memberId?: string; until?: number; cause?: unknown } = {},
  ) {
    super(
      isOurs(code) ? message : `${code}: ${message}`,
      facts.cause === undefined ? undefined : { cause: facts.cause },
    );
    const { step, uncertain } = rowOf(code);
    this.step = step;
    this.uncertain = uncertain && facts.sent !== false;
    this.memberId = facts.memberId;
    this.until = facts.until;
  }

  /** True if the same request can succeed later, sent to the right broker. */
  get retriable(): boolean {
    return this.step === 'retry' || this.step === 'leader' || this.step === 'coordinator';
  }
  /** True if the error persists until an operator changes permissions or settings. */
  get fatal(): boolean {
    return this.step === 'fatal';
  }
}

/** Returns whether the name is defined by this client. Messages omit such a name, since it repeats the text. */
function isOurs(code: string): boolean {
  return rowOf(code).number < -1;
}
function rowOf(code: string): Row {
  return Object.hasOwn(rows, code) ? rows[code as KafkaErrorCode] : rows.UNKNOWN_SERVER_ERROR; // rows has it
}

/** Operation of a Kafka ACL. */
export type Right =
  | 'Read'
  | 'Write'
  | 'IdempotentWrite'
  | 'Create'
  | 'Delete'
  | 'Describe'
  | 'Alter'
  | 'DescribeConfigs'
  | 'AlterConfigs';

/** Returns the error for a broker's error number; null for 0 (none). `right` is the permission that is required. */
export function errorOf(
  number: number,
  about: string,
  brokerMessage?: string | null,
  right?: Right,
): KafkaError | null {
  if (number === 0) return null;
  const code = names.get(number) ?? `ERROR_${number}`;
  const needed = code === 'GROUP_AUTHORIZATION_FAILED' ? (right ?? 'Read') : right;
  const missing = needed !== undefined && rowOf(code).bus === 'NotAllowed' ? ` requires the permission ${needed}` : '';
  return new KafkaError(code, `${about}${missing}${brokerMessage ? `: ${brokerMessage}` : ''}`);
}

/**
 * Returns the error that callers of the bus get when `what` has failed. `user` is the logged-in user. `uncertain` is
 * true if the broker can have executed an earlier try of the same request, so that the outcome is unknown.
 */
export function busErrorOf(error: unknown, what: string, waitedMs: number, user?: string, uncertain = false): BusError {
  const hint = error instanceof KafkaError ? hintOf(error, user) : undefined;
  const message = `${what}: ${errorMessage(error)}${hint === undefined ? '' : `; ${hint}`}`;
  const ms = Math.round(waitedMs);
  const outcome = error instanceof KafkaError && !error.uncertain && !uncertain ? 'not-sent' : 'unknown';
  switch (error instanceof KafkaError ? rowOf(error.code).bus : 'Unreachable') {
    case 'NotAllowed':
      return new BusError('NotAllowed', message, { what }, error, notAllowedRemedy(error));
    case 'Config':
      return new BusError('Config', message, { faults: [message] }, error, hint ? sentence(hint) : brokersRemedy);
    case 'Closed':
      return new BusError('Closed', message, { outcome, sinceMs: ms }, error);
    default:
      return new BusError('Unreachable', message, { outcome, waitedMs: ms, cause: errorMessage(error) }, error);
  }
}

const brokersRemedy =
  'Change the settings of the topic or the group, or the version of the brokers, as the message requires.';
/** Returns the options or the user to check, if the error identifies them; else undefined. */
function hintOf(
  { code, message }: KafkaError,
  user = 'the one that saslUsername or tlsCertFile names',
): string | undefined {
  switch (code) {
    case 'SASL_AUTHENTICATION_FAILED':
      return `check saslUsername (${user}) and saslPasswordFile or BUSBAR_SASL_PASSWORD`;
    case 'UNSUPPORTED_SASL_MECHANISM':
      return 'correct saslMechanism';
    case 'ILLEGAL_SASL_STATE':
      return 'the listener does not use SASL: leave out saslUsername, or name the port of another listener in brokers';
    case 'TOPIC_AUTHORIZATION_FAILED':
    case 'GROUP_AUTHORIZATION_FAILED':
    case 'CLUSTER_AUTHORIZATION_FAILED':
      return `the user is ${user}`;
    case 'TLS':
      return tlsHint(message);
    case 'CONNECTION':
      // A listener without TLS closes the connection. So does a broker that shuts down, hence the condition.
      return /before secure TLS connection/.test(message) ? `if this repeats, ${noTls}` : undefined;
    default:
      return undefined;
  }
}
const noTls = 'the listener does not use TLS: check tls, tlsCaFile and the port in brokers';

function tlsHint(reason: string): string {
  if (/wrong version|EPROTO|packet length/i.test(reason)) return noTls;
  if (/ALTNAME|HOSTNAME/.test(reason)) return 'use the host name of the certificate in brokers';
  return 'set tlsCaFile to the authority of the brokers, and tlsCertFile if the brokers require a client certificate';
}

function notAllowedRemedy(error: unknown): string {
  return error instanceof KafkaError && error.code === 'SASL_AUTHENTICATION_FAILED'
    ? 'Correct saslUsername or the password.'
    : 'Grant the missing permission to the user (kafka-acls.sh), or connect as a user that has it.';
}

/**
 * Returns the error as a KafkaError. An unreadable response becomes UNVERIFIED, since it does not show whether the
 * request was executed.
 */
export function kafkaErrorOf(error: unknown): KafkaError {
  if (error instanceof KafkaError && error.code !== 'UNDECODABLE') return error;
  return new KafkaError('UNVERIFIED', errorMessage(error), { cause: error });
}
