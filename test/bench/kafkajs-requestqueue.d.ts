/** Types of the internal kafkajs method that the prototype replaces. */
declare module 'kafkajs/src/network/requestQueue' {
  export default class RequestQueue {
    readonly pending: readonly unknown[];
    scheduleCheckPendingRequests: (this: RequestQueue) => void;
  }
}
