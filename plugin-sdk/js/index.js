/**
 * What an action is made of. Nothing here asks the host, so an action that imports no more than
 * this is tested with Node alone. What asks the host is in `crm-plugin-sdk/records.js`,
 * `config.js`, `secrets.js`, `state.js` and `log.js`.
 */

/** Makes the export `run` of a function from an event and the step's configuration. */
export function action(run) {
  return (event) => {
    try {
      const { configuration, ...told } = event;
      return answer(run(read(told), JSON.parse(configuration)));
    } catch (error) {
      throw failure(error);
    }
  };
}

function read(event) {
  const json = (text) => (text == null ? null : JSON.parse(text));
  return {
    ...event,
    kind: event.kind.replaceAll('-', '_'),
    before: json(event.before),
    after: json(event.after),
    payload: json(event.payload),
  };
}

function answer(given) {
  const { mutations = [], effects = [] } = Array.isArray(given)
    ? { mutations: given }
    : (given ?? {});
  return { mutations, effects };
}

/** What was thrown, as the contract says it: a mistake of the code gives up, with its message. */
function failure(error) {
  switch (error?.tag) {
    case 'retry':
    case 'fail':
    case 'skip':
      return error;
    case 'unavailable':
      return retry(0, error.val);
    case 'denied':
    case 'invalid':
    case 'limited':
      return fail(error.val);
    default:
      return fail(String(error));
  }
}

/** To be thrown: nothing to do for this event; counts as done. */
export const skip = (message) => ({ tag: 'skip', val: message });
/** To be thrown: give up, with a message that the tenant's people can read. */
export const fail = (message) => ({ tag: 'fail', val: message });
/** To be thrown: try again, not before that many milliseconds. */
export const retry = (afterMs, reason) => ({ tag: 'retry', val: { afterMs: afterMs, reason } });

const version = (options) => options?.expectedVersion ?? null;

/** A new record. */
export const create = (module, data) => ({
  tag: 'create',
  val: { module, data: JSON.stringify(data) },
});

/** A JSON merge patch of any record. */
export const updateRecord = (module, recordId, patch, options) => ({
  tag: 'update',
  val: { module, recordId, expectedVersion: version(options), patch: JSON.stringify(patch) },
});

/** A JSON merge patch of the event's own record. */
export const update = (event, patch, options) =>
  updateRecord(event.module, event.recordId, patch, options);

/** The end of a record. */
export const remove = (module, recordId, options) => ({
  tag: 'delete',
  val: { module, recordId, expectedVersion: version(options) },
});

/** A record points to another through a relation. */
export const link = (module, recordId, field, targetId) => ({
  tag: 'link',
  val: { module, recordId, field, targetId },
});

/** It points there no longer. */
export const unlink = (module, recordId, field, targetId) => ({
  tag: 'unlink',
  val: { module, recordId, field, targetId },
});

/** An entry on the timeline of any record. */
export const activityOn = (module, recordId, kind, title, options = {}) => ({
  tag: 'activity',
  val: {
    module,
    recordId,
    kind,
    title,
    body: options.body ?? null,
    dueAt: options.dueAt ?? null,
    assignee: options.assignee ?? null,
  },
});

/** An entry on the timeline of the event's own record. */
export const activity = (event, kind, title, options) =>
  activityOn(event.module, event.recordId, kind, title, options);

/** The record belongs to somebody else from then on. */
export const assign = (module, recordId, owner, options) => ({
  tag: 'assign',
  val: { module, recordId, expectedVersion: version(options), owner },
});

/** A mail. */
export const email = ({ to, cc = [], replyTo = null, subject, text, html = null }) => ({
  tag: 'email',
  val: { to, cc, replyTo, subject, text, html },
});

/** A signed message to an address that the tenant keeps under that name. */
export const webhook = (endpoint, topic, payload) => ({
  tag: 'webhook',
  val: { endpoint, topic, payload: JSON.stringify(payload) },
});

/** A request to another system. */
export const http = ({ key, method = 'GET', url, headers = {}, body = null, wantsAnswer = false }) => ({
  tag: 'http',
  val: { key, method, url, headers: Object.entries(headers), body, wantsAnswer },
});

/** A note to people, inside of the CRM. */
export const notify = (to, title, body = null) => ({ tag: 'notify', val: { to, title, body } });

/** An event for the same record at a later time. */
export const schedule = (key, at, payload) => ({
  tag: 'schedule',
  val: { key, at, payload: JSON.stringify(payload) },
});
