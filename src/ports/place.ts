/** Position of a record. Offsets of a partition rise from 0 and can have gaps. */
export interface Place {
  readonly partition: number;
  readonly offset: number;
}
