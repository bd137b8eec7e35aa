/** A few values that the plugin keeps for the tenant, from one run to the next. */

import { get as ask, set as put, delete as drop } from 'crm:plugin/state@1.0.0';

export function get(key) {
  const entry = ask(key);
  return entry == null ? null : { value: JSON.parse(entry.value), version: Number(entry.version) };
}

export const set = (key, value) => put(key, JSON.stringify(value));
export const remove = (key) => drop(key);
