// SPDX-License-Identifier: Apache-2.0
// Node: workers, children, a server on the loopback, files, crypto, code that its compiler makes fast.
const assert = require('node:assert');
const { execFile, fork } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const { promisify } = require('node:util');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');

if (!isMainThread) {
  parentPort.postMessage(workerData.reduce((a, b) => a + b));
} else if (process.send) {
  process.on('message', (m) => process.send(m * 2, () => process.exit(0)));
} else {
  main().then(() => console.log('DONE'));
}

async function main() {
  const worker = new Worker(__filename, { workerData: [1, 2, 3] });
  assert.deepStrictEqual(await once(worker, 'message'), [6]);
  const child = fork(__filename);
  child.send(21);
  assert.strictEqual((await once(child, 'message'))[0], 42);
  assert.strictEqual((await promisify(execFile)('sh', ['-c', 'echo out'])).stdout, 'out\n');

  const server = http.createServer((request, response) => response.end(request.url)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/path`);
  assert.strictEqual(await answer.text(), '/path');
  server.close();
  server.closeAllConnections?.();

  await fs.promises.writeFile('file', 'text');
  const watched = once(fs.watch('.'), 'change');
  await fs.promises.appendFile('file', 'more');
  await watched;
  const crypto = require('node:crypto');
  assert.strictEqual(crypto.createHash('sha256').update('').digest('hex').slice(0, 8), 'e3b0c442');
  await promisify(crypto.scrypt)('secret', 'salt', 32);
  const { publicKey, privateKey } = await promisify(crypto.generateKeyPair)('ec', { namedCurve: 'P-256' });
  assert(crypto.verify('sha256', Buffer.from('x'), publicKey, crypto.sign('sha256', Buffer.from('x'), privateKey)));
  let sum = 0;
  for (let i = 0; i < 3e7; i++) sum = (sum + i * i) % 1000003;
  assert(sum > 0);
  const add = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100, 0, 0,
    10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11,
  ]))).exports.add;
  assert.strictEqual(add(40, 2), 42);
  assert(await require('node:dns').promises.lookup('localhost'));
  process.exitCode = 0;
  setImmediate(() => process.exit());
}
