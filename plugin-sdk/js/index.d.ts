/** What happened. */
export type EventKind =
  | 'record_created'
  | 'record_updated'
  | 'record_deleted'
  | 'record_restored'
  | 'answer_received'
  | 'time_reached'
  | 'started_by_hand'
  | 'request_received'
  | 'called';

/** A person. */
export interface Actor {
  userId: string;
  roles: string[];
}

/** One run in the chain that led to an event. */
export interface CauseLink {
  eventId: string;
  workflow: string;
  plugin: string;
  runId: string;
}

/** What an action is told. Fields that it may not read are missing from the record. */
export interface Event<T = Record<string, unknown>> {
  id: string;
  kind: EventKind;
  module: string;
  recordId: string;
  recordVersion: number;
  before: T | null;
  after: T | null;
  changedFields: string[];
  payload: unknown;
  actor: Actor;
  causes: CauseLink[];
  depth: number;
  /** RFC 3339, UTC. The only clock there is. */
  occurredAt: string;
  /** The tenant's time zone: `Europe/Berlin`. */
  zone: string;
  /** The tenant's language: `de`. */
  locale: string;
  idempotencyKey: string;
  /** The same for every attempt at the same work: where chance is wanted, start from here. */
  seed: number | bigint;
}

export interface Mutation {
  tag: 'create' | 'update' | 'delete' | 'link' | 'unlink' | 'activity' | 'assign';
  val: Record<string, unknown>;
}

export interface Effect {
  tag: 'email' | 'webhook' | 'http' | 'notify' | 'schedule';
  val: Record<string, unknown>;
}

/** To be thrown. */
export interface Failure {
  tag: 'skip' | 'fail' | 'retry';
  val: unknown;
}

/** What an action wants. */
export type Answer = Mutation[] | { mutations?: Mutation[]; effects?: Effect[] } | null | undefined;

export type ActivityKind = 'note' | 'call' | 'meeting' | 'email' | 'task' | 'system' | (string & {});

export interface Expecting {
  /** Refused unless the record still has this version. */
  expectedVersion?: number;
}

export function action<T, C>(
  run: (event: Event<T>, config: C) => Answer,
): (event: unknown) => { mutations: Mutation[]; effects: Effect[] };

export function skip(message: string): Failure;
export function fail(message: string): Failure;
export function retry(afterMs: number, reason: string): Failure;

export function create(module: string, data: object): Mutation;
export function update(event: Event<any>, patch: object, options?: Expecting): Mutation;
export function updateRecord(module: string, recordId: string, patch: object, options?: Expecting): Mutation;
export function remove(module: string, recordId: string, options?: Expecting): Mutation;
export function link(module: string, recordId: string, field: string, targetId: string): Mutation;
export function unlink(module: string, recordId: string, field: string, targetId: string): Mutation;
export function assign(module: string, recordId: string, owner: string, options?: Expecting): Mutation;

export interface ActivityOptions {
  body?: string;
  /** For a task: RFC 3339. */
  dueAt?: string;
  /** For a task: a user's id. */
  assignee?: string;
}
export function activity(event: Event<any>, kind: ActivityKind, title: string, options?: ActivityOptions): Mutation;
export function activityOn(module: string, recordId: string, kind: ActivityKind, title: string, options?: ActivityOptions): Mutation;

export function email(mail: { to: string[]; cc?: string[]; replyTo?: string; subject: string; text: string; html?: string }): Effect;
export function webhook(endpoint: string, topic: string, payload: unknown): Effect;
export function http(request: { key: string; method?: string; url: string; headers?: Record<string, string>; body?: string; wantsAnswer?: boolean }): Effect;
export function notify(to: string[], title: string, body?: string): Effect;
export function schedule(key: string, at: string, payload: unknown): Effect;
