// Runs a component that jco transpiled on a list of events, and prints what it answers, as JSON in
// the words of the contract.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [directory, calls] = process.argv.slice(2);
const { instantiate } = await import(pathToFileURL(join(directory, 'guest.js')));
const core = async (path) => WebAssembly.compile(await readFile(join(directory, path)));
const nobody = () => {
  throw { payload: { tag: 'unavailable', val: 'nobody is there' } };
};
const host = {
  'crm:plugin/log': { write: () => {} },
  'crm:plugin/config': { get: () => '{}' },
  'crm:plugin/records': { get: nobody, query: nobody, aggregate: nobody },
  'crm:plugin/secrets': { handle: nobody },
  'crm:plugin/state': { get: nobody, set: nobody, delete: nobody },
};

const answers = [];
for (const call of JSON.parse(await readFile(calls, 'utf8'))) {
  const event = { ...call, recordVersion: BigInt(call.recordVersion), seed: BigInt(call.seed) };
  // As in the host: a fresh instance for each call.
  const guest = await instantiate(core, host);
  try {
    answers.push({ ok: guest.run(event) });
  } catch (error) {
    if (!error.payload) throw error;
    answers.push({ err: error.payload });
  }
}
const plain = (_, value) => (typeof value === 'bigint' ? Number(value) : value);
console.log(JSON.stringify(answers, plain));
