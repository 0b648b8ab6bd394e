/** The contract of photos: the only file of this module that others import. */
import { defineModule, event, request } from 'busbar';
import { z } from 'zod';

/** The largest accepted image, in bytes. A message holds 1 MB; larger data is stored and passed by reference. */
export const photoBytesMax = 25 * 1024 * 1024;
/** The maximum number of photos in one reply of `list`. */
export const photosPerListMax = 200;

/** A file below the site's directory (SITE_DIR), such as `uploads/4f…`: a reference that is sent instead of bytes. */
export const SiteFile = z
  .string()
  .max(200)
  // No part can start with a dot, so no reference points outside the directory.
  .regex(/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)+$/, 'not a file of the site');

export const PhotoId = z.string().regex(/^[0-9a-f]{32}$/, 'not an id of a photo');

export const Photo = z.object({
  /** A hash of the bytes, so that adding the same picture twice adds it once. */
  id: PhotoId,
  name: z.string(),
  tags: z.array(z.string()),
  type: z.enum(['image/jpeg', 'image/png']),
  bytes: z.number(),
  file: SiteFile,
  addedAt: z.date(),
});
/** A photo with the state of its thumbnail; both fields are absent while it is being made. */
export const ShownPhoto = Photo.extend({
  thumbnail: z.object({ file: SiteFile, width: z.number(), height: z.number() }).optional(),
  /** The reason for which there will be no thumbnail. */
  broken: z.string().optional(),
});

export const NewPhoto = z.object({
  name: z.string().trim().min(1).max(120),
  tags: z.array(z.string().trim().min(1).max(40)).max(20).default([]),
  /** The image itself, or a reference to its file. */
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
  /** Lists the newest photos, or the requested ids in the requested order. */
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
