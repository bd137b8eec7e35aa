import assert from 'node:assert/strict';
import { test } from 'node:test';
import { action, activity, email, fail, retry, skip, update } from '../index.js';
import { RECORD_ID, updated } from '../testing.js';

/** An event as it crosses into the component. */
const told = (more = {}) => ({
  kind: 'record-updated',
  module: 'items',
  recordId: RECORD_ID,
  before: null,
  after: '{"sku":"D-1"}',
  payload: null,
  configuration: '{"x":1}',
  ...more,
});

test('records and configuration are read, and what is wanted is handed out', () => {
  const run = action((event, config) => {
    assert.equal(event.kind, 'record_updated');
    assert.deepEqual([event.after, event.before, config], [{ sku: 'D-1' }, null, { x: 1 }]);
    return {
      mutations: [update(event, { sku: 'D-2' })],
      effects: [email({ to: ['ada@example.com'], subject: 's', text: 't' })],
    };
  });
  const { mutations, effects } = run(told());
  assert.equal(mutations[0].val.patch, '{"sku":"D-2"}');
  assert.deepEqual(effects[0].val.cc, []);
  assert.deepEqual(action(() => null)(told()), { mutations: [], effects: [] });
  const listed = action((event) => [activity(event, 'system', 'seen')])(told());
  assert.equal(listed.mutations.length, 1);
});

test('whatever is thrown is a failure of the contract', () => {
  const thrown = (error) => {
    try {
      action(() => {
        throw error;
      })(told());
    } catch (failure) {
      return failure;
    }
  };
  assert.deepEqual(thrown(skip('x')), { tag: 'skip', val: 'x' });
  assert.deepEqual(thrown(retry(5, 'x')), { tag: 'retry', val: { afterMs: 5, reason: 'x' } });
  assert.deepEqual(thrown({ tag: 'denied', val: 'no' }), fail('no'));
  assert.deepEqual(thrown({ tag: 'unavailable', val: 'later' }), retry(0, 'later'));
  assert.deepEqual(thrown(new TypeError('oops')), fail('TypeError: oops'));
});

test('test events tell what changed', () => {
  const event = updated('items', { a: 1, b: [1], c: 2 }, { a: 2, b: [1] });
  assert.deepEqual(event.changedFields, ['a', 'c']);
});
