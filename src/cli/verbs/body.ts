/** How bodies and messages are written, by all verbs alike. */
import type { MessageView } from '../../inspect';
import { toJson, type Bytes } from '../json';
import { size } from '../words';

export interface Bodies {
  readonly bytes: Bytes;
  /** False leaves them out. */
  readonly shown: boolean;
}

export function bodyText({ body, bytes: length }: MessageView, { bytes }: Bodies): string {
  if (!body.ok) return `<${size(length)}, ${body.reason}>`;
  return body.value === undefined ? '' : toJson(body.value, bytes);
}

/** A message for programs: the body as it is, or why it is none. */
export function plainMessage({ shown }: Bodies): (message: MessageView) => unknown {
  return ({ body, ...rest }) => {
    if (!shown) return rest;
    return body.ok ? { ...rest, body: body.value } : { ...rest, bodyFault: body.reason };
  };
}
