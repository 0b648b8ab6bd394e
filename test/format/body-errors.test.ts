import { limits } from '../../src/base/limits';
import { invalid, readFault, tooLarge } from '../../src/format/body-errors';

test('an invalid field is named with its path', () => {
  const error = invalid('input', 'input of photos.add', 'a function cannot be sent', ['tags', 2]);
  expect(error.message).toBe('input of photos.add cannot be sent: tags.2: a function cannot be sent');
  expect(error.details).toEqual({
    side: 'input',
    issues: [{ message: 'a function cannot be sent', path: ['tags', 2] }],
  });
});

test('a body that is too large names the option only if it can be raised', () => {
  const most = limits.messageBytesMax;
  expect(tooLarge('input of photos.add', 11, 10).message).toContain(`messageBytesMax, which can be raised to ${most}`);
  expect(tooLarge('input of photos.add', most + 1, most).message).toContain('which cannot be raised');
});

test('an error that throws when it is read still has a reason', () => {
  const hostile = {
    toString: () => {
      throw new Error('no');
    },
  };
  expect(readFault(new Error('boom'))).toBe('reading the value threw: boom');
  expect(readFault(hostile)).toBe('reading the value threw');
});
