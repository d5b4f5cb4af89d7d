// SPDX-License-Identifier: Apache-2.0
"use strict";
// Promises over addon.c.
const addon = require(process.env.LAUTER_ADDON);

class Host {
  #raw = addon.open((event) => this.#take(event));
  #waiting = new Map(); // by cookie: what resolves a call's or an end's promise
  #cookies = 0;
  printed = new Map();
  shown = 0;
  input = async (prompt) => prompt;

  // begin: events
  #take(event) {
    if (event.kind === addon.STREAM) {
      this.printed.set(event.worker, (this.printed.get(event.worker) ?? "") + event.parts[0].data);
    } else if (event.kind === addon.OUTPUT) {
      for (const part of event.parts) this.shown += part.data.length;
    } else if (event.kind === addon.CALL) {
      this.input(String(event.parts[0].data)).then((answer) => addon.reply(this.#raw, event.call, answer));
    } else if (event.kind === addon.DONE) {
      this.#settle(event.cookie, { ...event, text: event.parts[0] && String(event.parts[0].data) });
    } else if (event.kind === addon.EXITED) {
      this.#settle(event.worker, event);
    }
  }
  // end: events

  #settle(cookie, value) {
    this.#waiting.get(cookie)(value);
    this.#waiting.delete(cookie);
  }

  #expect() {
    const cookie = ++this.#cookies;
    return [cookie, new Promise((resolve) => this.#waiting.set(cookie, resolve))];
  }

  spawn(interpreter, policy = "limit memory=1G") {
    const [cookie, end] = this.#expect();
    const id = addon.spawn(this.#raw, policy, interpreter, cookie);
    return new Worker(this, id, cookie, end);
  }

  start(worker, source) {
    const [cookie, done] = this.#expect();
    const id = addon.start(this.#raw, worker, source, cookie);
    return { done, interrupt: () => addon.interrupt(this.#raw, id) };
  }

  kill(worker) {
    addon.kill(this.#raw, worker);
  }

  stop(worker) {
    addon.stop(this.#raw, worker, 5000, 1000);
  }

  close() {
    addon.close(this.#raw);
  }
}

class Worker {
  constructor(host, id, cookie, end) {
    Object.assign(this, { host, id, cookie, end });
  }
  start(source) {
    return this.host.start(this.id, source);
  }
  async execute(source) {
    const done = await this.start(source).done;
    if (done.status !== 0) throw new Error(`${done.name}${done.why}`);
    return done.text;
  }
  get printed() {
    return this.host.printed.get(this.cookie) ?? "";
  }
  kill() {
    this.host.kill(this.id);
  }
  stop() {
    this.host.stop(this.id);
  }
}

module.exports = { Host };
