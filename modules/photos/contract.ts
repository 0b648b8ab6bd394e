/** What photos takes in and tells: the only file of this module that others import. */
import { defineModule, event, request } from 'busbar';
import { z } from 'zod';

/** Largest image that is taken, in bytes. A message holds 1 MB; what is larger is stored and passed by reference. */
export const photoBytesMax = 25 * 1024 * 1024;
/** Most photos in one answer of `list`. */
export const photosPerListMax = 200;

/** A file below the site's directory (SITE_DIR), such as `uploads/4f…`: the reference that is sent instead of bytes. */
export const SiteFile = z
  .string()
  .max(200)
  // No part may start with a dot, so no reference leads out of the directory.
  .regex(/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)+$/, 'not a file of the site');

export const PhotoId = z.string().regex(/^[0-9a-f]{32}$/, 'not an id of a photo');

export const Photo = z.object({
  /** Made of the bytes, so that adding the same picture twice is adding it once. */
  id: PhotoId,
  name: z.string(),
  tags: z.array(z.string()),
  type: z.enum(['image/jpeg', 'image/png']),
  bytes: z.number(),
  file: SiteFile,
  addedAt: z.date(),
});
/** A photo with what is known of its thumbnail; neither is there while it is being made. */
export const ShownPhoto = Photo.extend({
  thumbnail: z.object({ file: SiteFile, width: z.number(), height: z.number() }).optional(),
  /** Why there will be no thumbnail. */
  broken: z.string().optional(),
});

export const NewPhoto = z.object({
  name: z.string().trim().min(1).max(120),
  tags: z.array(z.string().trim().min(1).max(40)).max(20).default([]),
  /** The image itself, or where it was stored. */
  content: z.union([z.instanceof(Uint8Array), z.object({ upload: SiteFile })]),
});

export const photos = defineModule('photos', {
  add: request(NewPhoto, Photo, {
    idempotent: true,
    timeoutMs: 10_000,
    failures: {
      TooBig: z.object({ limitBytes: z.number() }),
      NotAnImage: z.object({ startsWith: z.string() }),
      NoUpload: z.object({ upload: z.string() }),
      Full: z.object({ limitPhotos: z.number() }),
    },
  }),
  get: request(z.object({ id: PhotoId }), ShownPhoto, { idempotent: true, failures: { NotFound: z.object({}) } }),
  /** The newest first, or those asked for by id, in the order asked. */
  list: request(
    z.object({
      ids: z.array(PhotoId).max(photosPerListMax).optional(),
      limit: z.number().int().min(1).max(photosPerListMax),
    }),
    z.object({ photos: z.array(ShownPhoto), total: z.number() }),
    { idempotent: true },
  ),
  added: event(Photo, { key: (photo) => photo.id }),
});
