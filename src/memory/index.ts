/** Exports the ports within one process, on virtual time and with scripted faults, for tests and the simulator. */
export { seededRandom, virtualClock, type VirtualClock, type VirtualClockOptions } from './clock';
export type { Fault, FaultScript, Operation } from './faults';
export { memoryWorld, type MemoryProcess, type MemoryWorld, type WorldOptions } from './world';
