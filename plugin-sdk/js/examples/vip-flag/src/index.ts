// Marks customers who buy as collectors, and asks how many there are.

import { action, activity, log, records, skip, update } from 'crm-plugin-sdk';

interface Customer {
  name: string;
  segment: string;
  notes: string;
}

interface Config {
  note: string;
}

export const run = action<Customer, Config>((event, config) => {
  if (event.after?.segment !== 'collector') throw skip('not a collector');
  const filter = { field: 'segment', op: 'eq', value: 'collector' };
  const others = records.query<Customer>(event.module, { filter }).records;
  log.info(`${others.length} collectors`);
  const notes = `${config.note} (one of ${others.length})`;
  return [
    update(event, { notes }),
    activity(event, 'task', `Greet ${event.after.name}`, { dueAt: event.occurredAt }),
  ];
});
