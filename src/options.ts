/** Options of the bus and of entries, each declared once; long because each one is described here. */
import { limits } from './base/limits';
import { options, type GivenTo, type ValuesOf } from './base/options';
import { bounds } from './contract/options';

/** One day in ms. */
const day = 86_400_000;

/**
 * Returns the fault of an address. Without this check a missing port would be reported late, as an unreachable server.
 */
function addressFault(text: string, usualPort?: number): string | undefined {
  const [, port = usualPort] = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? ['', 0];
  if (Number(port) >= 1 && Number(port) <= 65_535) return undefined;
  return `has '${text.slice(0, 80)}', which is not host:port`;
}

/** Options of `openBus`, besides the module and its middleware. */
export const busOptions = options({
  ns: {
    type: 'text',
    default: 'main',
    pattern: /^[a-z][a-zA-Z0-9-]{0,62}$/,
    description: 'Namespace. Buses of different namespaces are separate.',
  },
  transport: {
    type: 'choice',
    choices: ['embedded', 'kafka'],
    default: 'embedded',
    description:
      'Transport of messages: `embedded` connects the processes of one machine without a server, `kafka` connects ' +
      'machines through Kafka and ZooKeeper.',
  },
  dir: {
    type: 'text',
    description:
      'Directory that the processes of a machine share. Default: busbar/<ns> in $XDG_STATE_HOME or ~/.local/state. ' +
      'With `kafka`: directory of the last known settings, for a start without ZooKeeper. Default: `spool`.',
  },
  version: {
    type: 'text',
    default: '',
    pattern: /^[^\s]{0,64}$/,
    description: "The module's own version, for display only.",
  },
  logLevel: {
    type: 'choice',
    choices: ['debug', 'info', 'warn', 'error'],
    live: true,
    description: 'Lowest level of the log. Default: `warn`, and `info` with `runModule`.',
  },
  logFormat: {
    type: 'choice',
    choices: ['json', 'text'],
    description:
      'Form of the log, which `openBus` writes to stderr and `runModule` to stdout. Default: `text` on a terminal, ' +
      '`json` elsewhere.',
  },
  healthPort: {
    type: 'integer',
    min: 0,
    max: 65_535,
    description: 'Port on which the bus answers /health, /ready and /metrics over HTTP; 0 takes any. Default: none.',
  },
  healthHost: {
    type: 'text',
    default: '127.0.0.1',
    pattern: /^[0-9a-zA-Z.:-]{1,253}$/,
    description:
      'Address on which `healthPort` is opened: `0.0.0.0` or `::` for probes from other machines. A client that ' +
      'reaches it can read names of queues and entries, and counts.',
  },
  drainMs: {
    type: 'duration',
    default: 10_000,
    min: 0,
    max: 600_000,
    description: 'Maximum time that closing waits for running handlers.',
  },
  timeoutMs: {
    type: 'duration',
    default: 5_000,
    min: 1,
    max: day,
    live: true,
    description: 'Maximum time that a request waits for its reply, unless the call or the entry sets another.',
  },
  messageBytesMax: {
    type: 'bytes',
    default: limits.messageBytesMax,
    min: 1024,
    max: limits.messageBytesMax,
    description: 'Maximum size of a body that is sent.',
  },
  bodyDepthMax: {
    type: 'integer',
    default: limits.bodyDepthMax,
    min: 1,
    max: limits.bodyDepthMost,
    description:
      'Maximum depth of a body: objects, arrays, Maps and Sets inside each other. Use one value for all instances: a ' +
      'deeper body is Invalid at the sender, and parked at the receiver.',
  },
  requestConcurrency: {
    type: 'integer',
    default: 100,
    min: 1,
    max: 10_000,
    live: true,
    description: 'Requests of one entry that an instance handles at once, unless `serve` sets another limit.',
  },
  workConcurrency: {
    type: 'integer',
    default: 8,
    min: 1,
    max: 10_000,
    live: true,
    description:
      'Jobs or events of one queue that an instance handles at once, unless `serve` or `listen` sets a limit.',
  },
  commitMs: {
    type: 'duration',
    default: 500,
    min: 1,
    max: 10_000,
    description: 'Maximum time from the end of a handler to the commit. If the process dies, that work is repeated.',
  },
  sessionMs: {
    type: 'duration',
    default: 10_000,
    min: 500,
    max: 300_000,
    description: 'An instance that sends no heartbeat for this time loses its partitions to other instances.',
  },
  keepMs: {
    type: 'duration',
    default: 7 * day,
    ...bounds.keepMs,
    description:
      'Retention of events and of finished work whose entry sets none. ' +
      'On one machine, events that a named listener has not received are kept longer.',
  },
  brokers: {
    type: 'list',
    check: (broker) => addressFault(broker),
    description: 'Kafka: `host:port` of some brokers, which return the addresses of the others.',
  },
  zookeeper: {
    type: 'text',
    check: (servers) =>
      servers
        .split(',')
        .map((server) => addressFault(server.trim(), 2181))
        .find((fault) => fault !== undefined),
    description:
      'ZooKeeper: `host:port` of its servers, with commas between them. Default port: 2181, or 2281 with TLS ' +
      '(`secureClientPort` of the servers).',
  },
  waitForServersMs: {
    type: 'duration',
    default: 0,
    min: 0,
    max: day,
    description:
      'Kafka: maximum time that the start waits until brokers and ZooKeeper respond, with a line in the log every ' +
      '5 s. With 0 it fails after `sessionMs` without ZooKeeper, or after 10 s without brokers and a `spool`.',
  },
  topics: {
    type: 'choice',
    choices: ['create', 'verify'],
    default: 'create',
    description: 'Kafka: `verify` creates and changes no topic, and reports the commands that an operator must run.',
  },
  replicas: {
    type: 'integer',
    min: 1,
    max: 32,
    description:
      'Kafka: replication factor of topics that are created. Default: three, or the number of brokers if lower.',
  },
  spool: {
    type: 'text',
    description:
      'Kafka: directory on a disk of this machine. `submit` and `publish` resolve when the message is on that disk, ' +
      'also while all brokers are unreachable. The processes of the machine send it on. Default: none.',
  },
  spoolBytesMax: {
    type: 'bytes',
    default: 1024 ** 3,
    min: 1024 ** 2,
    max: 1024 ** 4,
    description: 'Maximum bytes that wait in the spool. Above it, `submit` and `publish` reject with SpoolFull.',
  },
  spoolTopicShare: {
    type: 'share',
    default: 0.5,
    min: 0.01,
    max: 1,
    description: 'Share of `spoolBytesMax` that the messages for one topic can take.',
  },
  inboxPartitions: {
    type: 'integer',
    default: 64,
    min: 1,
    max: 1_000,
    description: "Kafka: partitions of a new inbox. Instances that share a partition discard each other's packets.",
  },
  tls: {
    type: 'flag',
    default: false,
    description: 'Kafka: connections are encrypted, and brokers must prove their identity.',
  },
  tlsCaFile: {
    type: 'text',
    description: 'Kafka: PEM file with the certificates to trust, instead of the list of the system. Turns TLS on.',
  },
  tlsCertFile: {
    type: 'text',
    description: 'Kafka: PEM file with the certificate of this client, if brokers require one. Turns TLS on.',
  },
  tlsKeyFile: { type: 'text', description: 'Kafka: PEM file with the key of that certificate.' },
  saslMechanism: {
    type: 'choice',
    choices: ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'],
    default: 'SCRAM-SHA-512',
    description: 'Kafka: SASL mechanism, used if `saslUsername` is set.',
  },
  saslUsername: { type: 'text', description: 'Kafka: SASL user name.' },
  saslPasswordFile: {
    type: 'text',
    description: 'Kafka: file with the password. Default: the variable BUSBAR_SASL_PASSWORD.',
  },
  zookeeperAuthFile: {
    type: 'text',
    description: 'ZooKeeper: file with user:password. Default: the variable BUSBAR_ZOOKEEPER_AUTH, if it is set.',
  },
  zookeeperTls: {
    type: 'flag',
    default: false,
    description: 'ZooKeeper: connections are encrypted, and servers must prove their identity.',
  },
  zookeeperTlsCaFile: {
    type: 'text',
    description: 'ZooKeeper: PEM file with the certificates to trust, instead of the list of the system. Turns TLS on.',
  },
  zookeeperTlsCertFile: {
    type: 'text',
    description: 'ZooKeeper: PEM file with the certificate of this client, if servers require one. Turns TLS on.',
  },
  zookeeperTlsKeyFile: { type: 'text', description: 'ZooKeeper: PEM file with the key of that certificate.' },
  credentialsWithoutTls: {
    type: 'flag',
    default: false,
    description:
      'Allows passwords on connections without TLS, where any host on the network path can read them: user and ' +
      'password of ZooKeeper, and `saslMechanism` PLAIN of Kafka.',
  },
});

/**
 * Variables that contain secrets. The code that needs a secret reads it there, so that no printed configuration
 * contains it.
 */
export const secretVariables = {
  saslPassword: 'BUSBAR_SASL_PASSWORD',
  zookeeperAuth: 'BUSBAR_ZOOKEEPER_AUTH',
} as const;

/** Settings of one entry or one named listener. They override the contract, `serve` and `listen`. */
export const entryOptions = options({
  concurrency: {
    type: 'integer',
    ...bounds.concurrency,
    live: true,
    description: 'Handlers of the entry that run at once in an instance.',
  },
  perSecond: {
    type: 'integer',
    min: 1,
    max: 1_000_000,
    live: true,
    description: 'Handlers of the entry that start in one second in an instance.',
  },
  timeoutMs: {
    type: 'duration',
    ...bounds.timeoutMs,
    live: true,
    description: 'Maximum time that a request of the entry waits for its reply.',
  },
  attempts: {
    type: 'integer',
    ...bounds.attempts,
    live: true,
    description: 'Number of attempts before a message is parked.',
  },
  backoffMs: {
    type: 'duration',
    ...bounds.backoffMs,
    live: true,
    description:
      'Maximum wait before the second attempt; the minimum is half. It doubles with each attempt, up to a minute.',
  },
  paused: {
    type: 'flag',
    live: true,
    description: 'Handles no message of the entry. Messages wait until the setting is removed.',
  },
  pausedUntil: {
    type: 'text',
    pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z$/,
    live: true,
    description: 'Time until which no message of the entry is handled, such as 2026-11-22T03:10:00Z.',
  },
});

/** Names of the settings that exist for each kind of entry, and for a named listener. */
export const entryOptionsOf = {
  request: ['concurrency', 'perSecond', 'timeoutMs', 'paused', 'pausedUntil'],
  work: ['concurrency', 'perSecond', 'attempts', 'backoffMs', 'paused', 'pausedUntil'],
  listener: ['concurrency', 'perSecond', 'attempts', 'backoffMs', 'paused', 'pausedUntil'],
  broadcast: [],
  event: [],
} as const satisfies Record<string, readonly (keyof typeof entryOptions)[]>;

/** Values of the options of the bus. */
export type BusValues = ValuesOf<typeof busOptions>;
/** Options of the bus as passed by code: durations in ms or as '10s', sizes in bytes or as '64KB'. */
export type BusGiven = GivenTo<typeof busOptions>;
