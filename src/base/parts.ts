/** Names of the parts of a bus that report their state in notices. A new part needs a row here. */

/** Parts that exist once per instance, and the meaning of their state `ok`. */
export const singleParts = {
  directory: 'the shared directory is the one that this instance opened, and its parts exist',
  store: 'the data file of the embedded log can be written and read',
  spool: 'messages are accepted into the spool, and are sent to the brokers',
  leases: 'the data file of the members of embedded groups can be written and read',
  registry: 'announcements of other instances can be read',
  announcement: 'other instances can find and reach this one: its announcement and its socket exist',
  settings: 'the files of embedded settings can be read, and are recreated if they were removed',
  messenger: 'requests and broadcasts are sent and received: the brokers have responded since the start',
  kafka: 'the brokers report which broker leads which partition',
  zookeeper: 'this instance has a session with ZooKeeper',
  'commit size': 'the brokers accept commits of the usual size',
  quota: 'the Kafka brokers do not delay this client because of a quota',
  'topic settings': 'the settings of Kafka topics can be read',
  sender: 'messages that were accepted are appended to the log',
  events: 'the readers of plain listeners can be closed',
} as const;

/** Parts that exist once per topic, queue, partition or group. Their name follows after a space. */
export const namedParts = {
  queue: 'messages of this queue can be parked, and its reader can be closed',
  partition: 'this partition of a queue can be read',
  'commits in': 'what this instance settles in this queue is committed, so that it can start messages',
  'tail of': 'plain listeners, requests or broadcasts of this topic are read',
  group: 'this instance is a member of the Kafka group',
  'events of': 'every named listener receives the events of this topic before they are too old',
  reading: 'the partitions of this Kafka topic can be read',
  topic: 'this Kafka topic exists, can be read and written, and has the settings that the guarantees need',
  writing: 'the brokers accept records for this Kafka topic from this user',
  'transactions in': 'no open transaction of another producer holds a partition of this Kafka topic',
} as const;

/**
 * Name of a part of an instance that `health()` and notices of the type `state` report, such as `queue photos.work`.
 */
export type StatePart = keyof typeof singleParts | `${keyof typeof namedParts} ${string}`;
