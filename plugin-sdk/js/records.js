/** Other records of the tenant: granted fields, of records that the person sees, as they are now. */

import { get as one, query as page, aggregate as groups } from 'crm:plugin/records@1.0.0';

const read = (found) => ({ ...found, version: Number(found.version), data: JSON.parse(found.data) });

export function get(module, id) {
  const found = one(module, id);
  return found == null ? null : read(found);
}

/** The query is as for `POST /api/crm/records/{module}/query`. */
export function query(module, query) {
  const { records, nextCursor } = page(module, JSON.stringify(query));
  return { records: records.map(read), nextCursor: nextCursor ?? null };
}

/** The query and the answer are as for `POST /api/crm/records/{module}/aggregate`. */
export const aggregate = (module, query) => JSON.parse(groups(module, JSON.stringify(query)));
