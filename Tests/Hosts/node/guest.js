// SPDX-License-Identifier: Apache-2.0
"use strict";
// A guest of Lauter's in Node: sandboxed workers, driven from libuv's loop, beside child_process, signals, timers, the thread
// pool and a worker_thread with workers of its own. It prints what it saw as JSON; test_node.py judges it.
//
//     node guest.js PYTHON TOKEN
const { execFile, fork, spawn } = require("node:child_process");
const { pbkdf2 } = require("node:crypto");
const { once } = require("node:events");
const fs = require("node:fs");
const { promisify } = require("node:util");
const { Worker: Thread, isMainThread, parentPort, workerData } = require("node:worker_threads");
const { Host } = require("./lauter.js");

const [quietWorkers, workers, calls, children, signals] = [10, 3, 200, 60, 100];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const range = (count) => [...Array(count).keys()];

async function until(condition) {
  for (const end = Date.now() + 10_000; !condition(); await sleep(1))
    if (Date.now() > end) throw new Error(`never: ${condition}`);
}

/** The children that the kernel counts as this process's. */
function ownChildren() {
  return fs.readdirSync("/proc/self/task").flatMap((task) => {
    try {
      return fs.readFileSync(`/proc/self/task/${task}/children`, "utf8").trim().split(" ").filter(Boolean);
    } catch {
      return []; // a thread that has ended
    }
  });
}

/** How many pidfds this process has. */
function pidfds() {
  const links = fs.readdirSync("/proc/self/fd").map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // closed since
    }
  });
  return links.filter((link) => link.includes("pidfd")).length;
}

/** Starts and ends workers while the program has no child: neither a child nor a SIGCHLD may show up. */
async function quiet(host, python, seen) {
  let strangers = 0;
  for (const worker of range(quietWorkers).map(() => host.spawn(python))) {
    await worker.execute("6 * 7");
    strangers += ownChildren().length;
    worker.kill();
    await worker.end;
    strangers += ownChildren().length;
  }
  const found = { workers: quietWorkers, strangers, sigchld: seen.sigchld };
  const child = spawn("cat"); // until its input ends
  found.children_seen = ownChildren().length;
  child.stdin.end();
  await once(child, "close");
  await until(() => seen.sigchld > 0);
  return { ...found, sigchld_seen: seen.sigchld };
}

async function runCalls(worker) {
  const started = range(calls).map((i) => worker.start(`print(${i}); ${i} * 3`).done);
  return (await Promise.all(started)).filter((done, i) => done.status === 0 && done.text === String(i * 3)).length;
}

async function runChildren() {
  let right = 0;
  for (const i of range(children)) {
    right += await new Promise((resolve) => {
      execFile("sh", ["-c", `echo ${i}; exit ${i % 8}`], (error, output) =>
        resolve(output === `${i}\n` && (error?.code ?? 0) === i % 8),
      );
    });
  }
  return right;
}

async function runSignals(seen) {
  for (let sent = 1; sent <= signals; sent++) {
    process.kill(process.pid, "SIGUSR2");
    await until(() => seen.usr2 >= sent);
  }
  return seen.usr2;
}

/** How late the loop serves a timer, until it is told to stop. */
async function ticks(state) {
  const late = [];
  while (!state.stop) {
    const begun = performance.now();
    await sleep(5);
    late.push(performance.now() - begun - 5);
  }
  late.sort((a, b) => a - b);
  return { count: late.length, median_ms: late[late.length >> 1], longest_ms: late.at(-1) };
}

/** A worker_thread with a loop, a host and a worker of its own, which it leaves open for its end to close. */
async function inThread() {
  const worker = new Host().spawn(workerData);
  let right = 0;
  for (const i of range(50)) right += (await worker.execute(`${i} + 1`)) === String(i + 1);
  parentPort.postMessage({ right, pidfds: pidfds() });
  process.exit(0);
}

async function main(python, token) {
  const seen = { sigchld: 0, usr2: 0 };
  process.on("SIGCHLD", () => seen.sigchld++);
  process.on("SIGUSR2", () => seen.usr2++);
  const host = new Host();
  host.input = async () => "Ada";
  const found = { guest: `Node ${process.versions.node}`, quiet: await quiet(host, python, seen) };

  try {
    host.spawn("/nowhere/python3");
  } catch (refusal) {
    found.refused = `${refusal.code}: ${refusal.message}`;
  }

  // The storm: calls on all workers, with children, signals, timers, threads and the thread pool going on.
  const started = range(workers).map(() => host.spawn(python));
  await started[0].execute(`import subprocess; p = subprocess.Popen(['sh', '-c', 'sleep 300; : ${token}'])`);
  const state = { stop: false };
  const ticking = ticks(state);
  const thread = new Thread(__filename, { workerData: python });
  const threaded = Promise.all([once(thread, "message"), once(thread, "exit")]);
  const forked = fork(__filename, ["fork"]);
  const hashes = range(20).map(() => promisify(pbkdf2)("malt", "hops", 1000, 32, "sha256"));
  const [right, childrenRight, handled, [[fromThread], [threadCode]], [fromFork]] = await Promise.all([
    Promise.all(started.map(runCalls)),
    runChildren(),
    runSignals(seen),
    threaded,
    once(forked, "message"),
  ]);
  state.stop = true;
  found.tick = await ticking;
  Object.assign(found, { calls: workers * calls, calls_right: right.reduce((a, b) => a + b) });
  Object.assign(found, { children, children_right: childrenRight, signals, signals_handled: handled });
  const lines = range(calls).map((i) => `${i}\n`).join("");
  found.printed_in_order = started.every((worker) => worker.printed === lines);
  found.beside = { thread: { ...fromThread, code: threadCode, pidfds_after: pidfds() }, fork: fromFork };
  found.beside.hashes = new Set((await Promise.all(hashes)).map((hash) => hash.toString("hex"))).size;

  await started[1].execute("class Big:\n  def _repr_html_(self): return 'x' * 8_000_000\ndisplay(Big())");
  found.shown = host.shown;
  found.input = await started[1].execute("'hello ' + input('who? ')");

  const endless = started[1].start("print('on')\nwhile True: pass");
  await until(() => started[1].printed.endsWith("on\n"));
  let begun = performance.now();
  endless.interrupt();
  const { name } = await endless.done;
  found.interrupt = { name, ms: performance.now() - begun, after: await started[1].execute("6 * 7") };

  const lost = started[0].start("while True: pass");
  begun = performance.now();
  started[0].kill();
  const { status, why } = await lost.done;
  found.killed = { status, why, ms: performance.now() - begun };
  started.slice(1).forEach((worker) => worker.stop());
  found.ends = (await Promise.all(started.map((worker) => worker.end))).map((end) => end.reason);
  host.close();
  process.stdout.write(JSON.stringify(found) + "\n");
  // Nothing keeps the loop now: Node ends by itself.
}

if (process.argv[2] === "fork") process.send("from the fork");
else if (isMainThread) main(...process.argv.slice(2));
else inThread();
