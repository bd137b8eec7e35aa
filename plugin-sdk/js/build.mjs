#!/usr/bin/env node
// Builds a plugin: `crm-plugin-build <directory> <output.wasm>`. The directory has a `plugin.json`
// and a `src/index.ts` or `src/index.js` that exports `run`.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SDK = dirname(fileURLToPath(import.meta.url));
// The toolchain is where the command is installed, or where it is told.
const TOOLS = process.env.CRM_JS_TOOLS ?? SDK;
const require = createRequire(join(resolve(TOOLS), 'package.json'));

const [directory, output] = process.argv.slice(2);
if (!directory || !output) {
  console.error('usage: crm-plugin-build <directory> <output.wasm>');
  process.exit(2);
}
const manifest = readFileSync(join(directory, 'plugin.json'));
const { world } = JSON.parse(manifest);
const sources = ['src/index.ts', 'src/index.js'].map((source) => join(directory, source));
const source = sources.find(existsSync);
if (!source) {
  console.error(`${directory} has no src/index.ts and no src/index.js`);
  process.exit(1);
}

const work = mkdtempSync(join(tmpdir(), 'crm-plugin-'));
try {
  // Strips the types, and makes one file of all.
  const bundle = join(work, 'index.js');
  await require('esbuild').build({
    entryPoints: [source],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    target: 'es2023',
    // What is not asked of the host is not imported.
    plugins: [{
      name: 'host',
      setup: (build) =>
        build.onResolve({ filter: /^crm:plugin\// }, ({ path }) => ({ path, external: true, sideEffects: false })),
    }],
    alias: { 'crm-plugin-sdk': join(SDK, 'index.js') },
  });
  const component = join(work, 'component.wasm');
  const command = join(TOOLS, 'node_modules', '.bin', 'componentize-qjs');
  const wit = process.env.CRM_WIT ?? join(SDK, '..', 'wit');
  const options = ['--wit', wit, '--world', world, '--js', bundle, '--output', component];
  execFileSync(command, [...options, '--stub-wasi', '--sync'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const built = Buffer.concat([readFileSync(component), section('crm:manifest', manifest)]);
  writeFileSync(output, built);
} finally {
  rmSync(work, { recursive: true });
}

/** A custom section of a WebAssembly binary. */
function section(name, content) {
  const named = Buffer.concat([length(Buffer.byteLength(name)), Buffer.from(name), content]);
  return Buffer.concat([Buffer.from([0]), length(named.length), named]);
}

/** A number as WebAssembly writes it: LEB128. */
function length(number) {
  const bytes = [];
  do {
    bytes.push((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
    number >>>= 7;
  } while (number > 0);
  return Buffer.from(bytes);
}
