// The types of `crm:plugin@1.1.0` as an author in JavaScript meets them: records decoded, names in
// camel case, whole numbers as numbers.

export type EventKind =
  | 'record-created'
  | 'record-updated'
  | 'record-deleted'
  | 'record-restored'
  | 'answer-received'
  | 'time-reached'
  | 'started-by-hand'
  | 'request-received'
  | 'called';

/** One run in the chain that led to an event. */
export interface Cause {
  eventId: string;
  workflow: string;
  plugin: string;
  runId: string;
}

/** What happened. Fields that the plugin may not read are missing in its records. */
export interface Event<T> {
  id: string;
  kind: EventKind;
  module: string;
  /** Empty where the event is of no record. */
  recordId: string;
  /** The first is 1, and 0 is of no record. */
  recordVersion: number;
  before: Partial<T> | null;
  after: Partial<T> | null;
  changedFields: string[];
  /** What came with events that are of more than a record. */
  payload: unknown;
  actor: { userId: string; roles: string[] };
  /** The runs that led here, the first one first. */
  causes: Cause[];
  depth: number;
  /** RFC 3339, UTC. The only clock there is. */
  occurredAt: string;
  /** The tenant's time zone: `Europe/Berlin`. */
  zone: string;
  /** The tenant's language: `de`. */
  locale: string;
  /** The same for every attempt at the same work, and for no other. */
  idempotencyKey: string;
  /** Where chance is wanted, start from here. Exact up to 2⁵³. */
  seed: number;
}

/** A module and a record of it, as `{module, id}` or as an event. */
export type RecordReference = { module: string; id: string } | { module: string; recordId: string };

/** What an action wants. Made by the functions below alone. */
export interface Wanted {
  readonly kind: 'mutation' | 'effect';
}

export type Answer = Wanted | null | undefined | (Wanted | null | undefined)[];

/** Makes the component's `run`. */
export function action<T, C>(run: (event: Event<T>, config: C) => Answer): (event: unknown) => unknown;

/** Thrown, these end a run without an answer. */
export class Failure extends Error {
  readonly failure: { tag: 'skip' | 'fail' | 'retry'; val: unknown };
}
export function skip(message: string): Failure;
export function fail(message: string): Failure;
export function retry(afterMs: number, reason: string): Failure;

/** The host does not answer a question. */
export class Refusal extends Error {
  readonly kind: 'denied' | 'invalid' | 'limited' | 'unavailable';
}

export type ActivityKind = 'note' | 'call' | 'meeting' | 'email' | 'task' | 'system' | (string & {});

export function create(module: string, data: object): Wanted;
export function update(record: RecordReference, patch: object, expectedVersion?: number): Wanted;
export function remove(record: RecordReference, expectedVersion?: number): Wanted;
export function link(record: RecordReference, field: string, targetId: string): Wanted;
export function unlink(record: RecordReference, field: string, targetId: string): Wanted;
export function activity(
  record: RecordReference,
  kind: ActivityKind,
  title: string,
  more?: { body?: string; dueAt?: string; assignee?: string },
): Wanted;
export function assign(record: RecordReference, owner: string, expectedVersion?: number): Wanted;

export function email(mail: {
  to: string[];
  cc?: string[];
  replyTo?: string;
  subject: string;
  text: string;
  html?: string;
}): Wanted;
/** The same mail, and a file that goes with it. */
export function attach(
  mail: Wanted,
  file: { name: string; mediaType: string; content: string | Uint8Array },
): Wanted;
export function webhook(endpoint: string, topic: string, payload: unknown): Wanted;
export function http(request: {
  key: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  url: string;
  headers?: { [name: string]: string };
  body?: string;
  wantsAnswer?: boolean;
}): Wanted;
export function notify(to: string[], title: string, body?: string): Wanted;
export function schedule(key: string, at: string, payload?: unknown): Wanted;

export interface Found<T> {
  id: string;
  version: number;
  data: Partial<T>;
  ownerId: string;
  createdAt: string;
  updatedAt: string;
}

export const records: {
  get<T>(module: string, id: string): Found<T> | null;
  query<T>(module: string, query: object): { records: Found<T>[]; nextCursor: string | null };
  aggregate(module: string, query: object): { data: { group: object; [metric: string]: unknown }[] };
};
export const config: { get<T>(): T };
export const secrets: { handle(name: string): string };
export const state: {
  get<T>(key: string): T | null;
  set(key: string, value: unknown): void;
  delete(key: string): void;
};
export const log: { [level in 'debug' | 'info' | 'warn' | 'error']: (message: string) => void };
