// A note, and a mail with two files.

import { action, attach, email, notify } from 'crm-plugin-sdk';

export const run = action((event, config) => {
  const mail = email({ to: ['ada@example.com'], subject: 'Hello', text: 'plain' });
  const text = attach(mail, { name: 'name.txt', mediaType: config.type, content: `${event.after.name}\n` });
  const bytes = { name: 'bytes', mediaType: 'application/octet-stream', content: new Uint8Array([0, 255]) };
  return [notify(['ada'], 'Hello'), attach(text, bytes)];
});
