/** Lines for the run log, which the tenant's people can read. */

import { write } from 'crm:plugin/log@1.0.0';

export const debug = (message) => write('debug', String(message));
export const info = (message) => write('info', String(message));
export const warn = (message) => write('warn', String(message));
export const error = (message) => write('error', String(message));
