/** Formats bodies and messages in the same way for all verbs. */
import type { MessageView } from '../../inspect';
import { toJson, type Bytes } from '../json';
import { size } from '../words';

export interface Bodies {
  readonly bytes: Bytes;
  /** False leaves the bodies out. */
  readonly shown: boolean;
}

export function bodyText({ body, bytes: length }: MessageView, { bytes }: Bodies): string {
  if (!body.ok) return `<${size(length)}, ${body.reason}>`;
  return body.value === undefined ? '' : toJson(body.value, bytes);
}

/**
 * Returns a function that converts a message for JSON output: with its body, or with the reason why the body is not
 * readable.
 */
export function plainMessage({ shown }: Bodies): (message: MessageView) => unknown {
  return ({ body, ...rest }) => {
    if (!shown) return rest;
    return body.ok ? { ...rest, body: body.value } : { ...rest, bodyFault: body.reason };
  };
}
