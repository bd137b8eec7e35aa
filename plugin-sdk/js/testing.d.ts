import type { Event, EventKind } from './index.js';

/** The id of every test event's record. */
export const RECORD_ID: string;
export function created<T>(module: string, after: T): Event<T>;
export function updated<T>(module: string, before: T, after: T): Event<T>;
export function deleted<T>(module: string, before: T): Event<T>;
/** Something else that an action is called for, with what came along. */
export function happened<T>(kind: EventKind, module: string, record: T, payload: unknown): Event<T>;
