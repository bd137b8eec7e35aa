// What an action is written with: `action` makes a function over decoded records of one over the
// contract's JSON text; the rest builds what it returns, and asks the host. Outside of a component
// there is no host: tests import `testing.js` first.

import recordsHost from 'crm:plugin/records@1.0.0';
import configHost from 'crm:plugin/config@1.0.0';
import secretsHost from 'crm:plugin/secrets@1.0.0';
import stateHost from 'crm:plugin/state@1.0.0';
import logHost from 'crm:plugin/log@1.0.0';
import attachmentsHost from 'crm:plugin/attachments@1.1.0';

/** How a run ends without an outcome. */
export class Failure extends Error {
  constructor(tag, val, message) {
    super(message);
    this.failure = { tag, val };
  }
}

/** Nothing to do for this event; counts as done. */
export const skip = (message) => new Failure('skip', message, message);
/** Give up, with a message that the tenant's people can read. */
export const fail = (message) => new Failure('fail', message, message);
/** Try again, not before that many milliseconds. */
export const retry = (afterMs, reason) => new Failure('retry', { afterMs, reason }, reason);

/** The host does not answer a question: `denied`, `invalid`, `limited` or `unavailable`. */
export class Refusal extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const text = (value) => JSON.stringify(value ?? null);
const parsed = (json) => (json == null ? null : JSON.parse(json));

// Inside of a component what the host refuses is thrown.
function asked(question) {
  try {
    return question();
  } catch (refusal) {
    const { tag, val } = refusal?.payload ?? refusal ?? {};
    if (typeof tag === 'string') throw new Refusal(tag, val);
    throw refusal;
  }
}

/** Makes the component's `run` of a function from an event and a configuration to an answer. */
export function action(run) {
  return (raw) => {
    try {
      return outcome(run(decoded(raw), read('the step\'s configuration', raw.configuration)));
    } catch (error) {
      if (error instanceof Failure) throw error.failure;
      if (error instanceof Refusal) {
        throw error.kind === 'unavailable'
          ? { tag: 'retry', val: { afterMs: 0, reason: error.message } }
          : { tag: 'fail', val: error.message };
      }
      log.error(`${error?.stack ?? error}`);
      throw { tag: 'fail', val: `${error?.message ?? error}` };
    }
  };
}

function read(what, json) {
  try {
    return parsed(json);
  } catch (error) {
    throw fail(`${what} could not be read: ${error.message}`);
  }
}

function decoded(raw) {
  return {
    ...raw,
    recordVersion: Number(raw.recordVersion),
    before: read('the record before the event', raw.before),
    after: read('the record after the event', raw.after),
    payload: read('what came with the event', raw.payload),
  };
}

function outcome(answer) {
  const asked = Array.isArray(answer) ? answer : [answer];
  const mutations = [];
  const effects = [];
  for (const one of asked.filter((one) => one != null)) {
    one.attach?.(effects.length);
    (one.kind === 'effect' ? effects : mutations).push(one.value);
  }
  return { mutations, effects };
}

const mutation = (tag, val) => ({ kind: 'mutation', value: { tag, val } });
const effect = (tag, val) => ({ kind: 'effect', value: { tag, val } });
const target = (record) =>
  record.recordId === undefined
    ? { module: record.module, recordId: record.id }
    : { module: record.module, recordId: record.recordId };

/** A new record. Decimals and amounts in `data` are strings. */
export const create = (module, data) => mutation('create', { module, data: text(data) });
/** A JSON merge patch of a record: of the event's, or of `{module, id}`. */
export const update = (record, patch, expectedVersion = null) =>
  mutation('update', { ...target(record), expectedVersion, patch: text(patch) });
/** The end of a record. */
export const remove = (record, expectedVersion = null) =>
  mutation('delete', { ...target(record), expectedVersion });
/** A record points to another through a relation of its module. */
export const link = (record, field, targetId) =>
  mutation('link', { ...target(record), field, targetId });
/** It points there no longer. */
export const unlink = (record, field, targetId) =>
  mutation('unlink', { ...target(record), field, targetId });
/** An entry on a record's timeline. */
export const activity = (record, kind, title, { body = null, dueAt = null, assignee = null } = {}) =>
  mutation('activity', { ...target(record), kind, title, body, dueAt, assignee });
/** A record gets another owner. */
export const assign = (record, owner, expectedVersion = null) =>
  mutation('assign', { ...target(record), expectedVersion, owner });

/** A mail. */
export const email = ({ to, cc = [], replyTo = null, subject, text, html = null }) =>
  effect('email', { to, cc, replyTo, subject, text, html });
// There is no `TextEncoder` inside of a component.
const utf8 = (content) => {
  const bytes = encodeURIComponent(content).replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Uint8Array.from(bytes, (byte) => byte.charCodeAt(0));
};

/** The same mail, and a file that goes with it; `content` is a text or a `Uint8Array`. */
export const attach = (mail, { name, mediaType, content }) => ({
  ...mail,
  attach(place) {
    mail.attach?.(place);
    const bytes = typeof content === 'string' ? utf8(content) : content;
    asked(() => attachmentsHost.attach(place, name, mediaType, bytes));
  },
});
/** A signed message to an address that the tenant keeps under that name. */
export const webhook = (endpoint, topic, payload) =>
  effect('webhook', { endpoint, topic, payload: text(payload) });
/** A request to another system. */
export const http = ({ key, method, url, headers = {}, body = null, wantsAnswer = false }) =>
  effect('http', { key, method, url, headers: Object.entries(headers), body, wantsAnswer });
/** A note to people inside of the CRM. */
export const notify = (to, title, body = null) => effect('notify', { to, title, body });
/** An event of the kind `time-reached` for this plugin and the same record. */
export const schedule = (key, at, payload = null) =>
  effect('schedule', { key, at, payload: text(payload) });

const found = (record) => ({ ...record, version: Number(record.version), data: parsed(record.data) });

/** Other records of the tenant. */
export const records = {
  get(module, id) {
    const record = asked(() => recordsHost.get(module, id));
    return record == null ? null : found(record);
  },
  query(module, query) {
    const page = asked(() => recordsHost.query(module, text(query)));
    return { records: page.records.map(found), nextCursor: page.nextCursor ?? null };
  },
  aggregate: (module, query) => parsed(asked(() => recordsHost.aggregate(module, text(query)))),
};

/** What the tenant configured for the plugin as a whole. */
export const config = { get: () => parsed(configHost.get()) };

/** Handles of the tenant's secrets, for headers of HTTP requests. */
export const secrets = { handle: (name) => asked(() => secretsHost.handle(name)) };

/** Values that are kept from one run to the next. */
export const state = {
  get(key) {
    const entry = asked(() => stateHost.get(key));
    return entry == null ? null : parsed(entry.value);
  },
  set: (key, value) => asked(() => stateHost.set(key, text(value))),
  delete: (key) => asked(() => stateHost.delete(key)),
};

/** Lines for the run log. */
export const log = {
  debug: (message) => logHost.write('debug', `${message}`),
  info: (message) => logHost.write('info', `${message}`),
  warn: (message) => logHost.write('warn', `${message}`),
  error: (message) => logHost.write('error', `${message}`),
};
