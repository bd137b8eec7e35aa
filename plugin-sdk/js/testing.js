// For tests with Node: `node --import crm-plugin-sdk/testing --test`. Events as the host would tell
// them, and a host that has nothing; a test that asks the host for more puts another in its place.

import { register } from 'node:module';

const host = `export default {
  get: () => null, query: () => ({ records: [], nextCursor: null }), aggregate: () => '{"data":[]}',
  handle: (name) => 'handle-of-' + name, set() {}, delete() {}, write() {}, attach() {},
}`;
const hooks = `export const resolve = (name, context, next) =>
  name.startsWith('crm:plugin/')
    ? { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(host)}`)}, shortCircuit: true }
    : next(name, context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);

/** The id of every test event's record. */
export const RECORD_ID = '01970000-0000-7000-8000-000000000001';

const event = (kind, module, before, after) => ({
  id: '01970000-0000-7000-8000-000000000002',
  kind,
  module,
  recordId: RECORD_ID,
  recordVersion: before ? 2 : 1,
  before,
  after,
  changedFields: [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
    .filter((key) => JSON.stringify(before?.[key]) !== JSON.stringify(after?.[key]))
    .sort(),
  payload: null,
  actor: { userId: 'tester', roles: ['owner'] },
  causes: [],
  depth: 0,
  occurredAt: '2026-01-02T03:04:05Z',
  zone: 'UTC',
  locale: 'en',
  idempotencyKey: '01970000-0000-7000-8000-000000000003',
  seed: 7,
});

export const created = (module, after) => event('record-created', module, null, after);
export const updated = (module, before, after) => event('record-updated', module, before, after);
export const deleted = (module, before) => event('record-deleted', module, before, null);
export const happened = (kind, module, record, payload) => ({
  ...event(kind, module, null, record),
  changedFields: [],
  payload,
});
