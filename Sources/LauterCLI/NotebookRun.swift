// SPDX-License-Identifier: Apache-2.0
import CLauter
import Glibc

/// The execution of one notebook: cells in their order, a worker that may have to be replaced, and what came of it.
final class NotebookRun {
  struct Options {
    /// Milliseconds that a cell may take.
    var timeout: Int64?
    var onDeath = DeathRule.restart
    var stopsOnError = false
    /// Whether an exception counts as no failure.
    var allowsErrors = false
    /// For input(), in their order.
    var answers: [String] = []
    var bounds = OutputBounds()
  }

  /// How the run as a whole ended.
  struct Ending {
    var status: Int32
    /// Lauter itself could not go on.
    var failure: String?
  }

  private(set) var notebook: Notebook
  let host: Host
  private let policy: Policy
  private let launch: Launch
  let options: Options
  var progress: Progress

  var worker: lauter_worker?
  private var isReady = false
  /// Why the last worker never got ready.
  private var launchError: LibraryError?
  var exits: [ExitReport] = []
  var cells: [CellReport] = []
  /// What each cell showed so far, by its place in the notebook.
  var outputs: [Int: CellOutputs] = [:]
  /// The cell that output belongs to.
  var current: Int?
  var call: lauter_call?
  var done: Event?
  private var answers: ArraySlice<String>
  private var started = 0.0
  var total = 0
  var lastSignal: Int32?

  init(
    _ notebook: Notebook, host: Host, policy: Policy, launch: Launch, options: Options,
    progress: Progress
  ) {
    self.notebook = notebook
    self.host = host
    self.policy = policy
    self.launch = launch
    self.options = options
    self.progress = progress
    answers = options.answers[...]
  }

  /// Run every cell. Throws only if nothing could be run at all.
  func execute() throws -> Ending {
    started = monotonicSeconds()
    let places = notebook.cells.indices.filter { notebook.cells[$0].isExecutable }
    total = places.count
    var failure: String?
    for place in places where failure == nil && lastSignal == nil {
      do {
        try provideWorker()
        guard lastSignal == nil else { break }
        let cell = try execute(place)
        cells.append(cell)
        progress.end(cell)
        if cell.isFailure, options.stopsOnError { break }
        if worker == nil, options.onDeath == .stop { break }
      } catch let error as LibraryError {
        if cells.isEmpty {
          progress.finish()
          throw Failure("the worker did not start: \(error.message)")
        }
        failure = error.message
      }
    }
    try? endWorker()
    progress.finish()
    keepOutcomes()
    if let failure { return Ending(status: Failure.own, failure: failure) }
    if let lastSignal { return Ending(status: 128 + lastSignal) }
    let isWhole = cells.count == total && !cells.contains(where: \.isFailure)
    return Ending(status: isWhole ? 0 : 1)
  }

  // MARK: Workers

  /// Have a worker that takes calls.
  private func provideWorker() throws {
    // What has happened since the last cell: the worker may have died on its own.
    try takeWhatIsThere()
    if worker != nil { return }
    if let exit = exits.last, cells.last?.status != .died, cells.last?.status != .timedOut {
      progress.say(
        "the worker ended between two cells: \(exit.why); a fresh one goes on without its state")
    }
    isReady = false
    launchError = nil
    worker = try host.spawn(policy, launch)
    try pump { self.isReady || self.worker == nil }
    if worker == nil, lastSignal == nil {
      throw launchError ?? neverReady
    }
  }

  /// Why a worker ended that had started: what it said last is mostly the reason.
  private var neverReady: LibraryError {
    let lines = (exits.last?.stderrTail ?? "").split(whereSeparator: \.isNewline).map {
      String($0).trimmed
    }
    let said = lines.last { !$0.isEmpty }.map { ": \($0.harmless.cut(to: 400))" } ?? ""
    return LibraryError(
      code: Int32(LAUTER_ERROR_DIED),
      message: (exits.last?.why ?? "it ended without a report") + said)
  }

  func takeWhatIsThere() throws {
    while let happening = try host.next(timeout: 0) { handle(happening) }
  }

  private func endWorker() throws {
    guard let worker else { return }
    try host.stop(worker)
    try pump { self.worker == nil }
  }

  /// Let things happen until `condition` holds.
  func pump(until condition: () -> Bool) throws {
    let begun = monotonicSeconds()
    while !condition() {
      switch try host.next(timeout: progress.style.isTerminal ? 500 : -1) {
      case let happening?: handle(happening)
      case nil: progress.tick(elapsed: monotonicSeconds() - begun)
      }
    }
  }

  private func handle(_ happening: Host.Happening) {
    switch happening {
    case .event(let event): handle(event)
    case .signal(let number): handle(signal: number)
    }
  }

  /// The first Ctrl-C interrupts the cell; everything else, and a second one, kills the worker.
  private func handle(signal number: Int32) {
    let isFirst = lastSignal == nil
    lastSignal = number
    if isFirst, number == SIGINT, let call {
      try? host.interrupt(call)
    } else if let worker {
      try? host.kill(worker)
    }
  }

  private func handle(_ event: Event) {
    switch event.kind {
    case Int(LAUTER_EVENT_READY): isReady = true
    case Int(LAUTER_EVENT_STREAM):
      for part in event.parts { edit { $0.write(part.bytes, to: event.cellStream) } }
    case Int(LAUTER_EVENT_DROPPED): edit { $0.lose(event.dropped, of: event.cellStream) }
    case Int(LAUTER_EVENT_DENIED):
      edit { $0.write(Array("lauter: \(event.sentence)\n".utf8), to: .stderr) }
    case Int(LAUTER_EVENT_OUTPUT) where event.call == call: show(event)
    case Int(LAUTER_EVENT_DONE) where event.call == call: done = event
    case Int(LAUTER_EVENT_CALL): answer(event)
    case Int(LAUTER_EVENT_EXITED):
      worker = nil
      launchError = event.error
      if let report = event.report { exits.append(report) }
    default: break
    }
  }

  /// Change the outputs of the cell that runs, or ran last.
  func edit(_ change: (inout CellOutputs) -> Void) {
    guard let current else { return }
    change(&outputs[current, default: CellOutputs(bounds: options.bounds)])
  }

  private func show(_ event: Event) {
    let bundle = MediaBundle(event.parts)
    switch event.name {
    case "display": edit { $0.display(bundle) }
    case "update":
      for place in Array(outputs.keys) { outputs[place]?.update(bundle) }
    case "clear": edit { $0.clear(wait: bundle.metadata["wait"]?.boolean ?? false) }
    default: break
    }
  }

  /// A call from the worker: input() is the one that a notebook's host answers.
  private func answer(_ event: Event) {
    guard event.name == "input" else {
      try? host.fail(
        event.call, "NotImplementedError", "lauter notebook does not answer \(event.name)")
      return
    }
    let bundle = MediaBundle(event.parts)
    let asked = bundle.representations.first { $0.type == "text/plain" }
    let prompt = asked?.text(atMost: NotebookRun.longestWords) ?? ""
    guard let answer = answers.popFirst() else {
      edit { $0.write(Array(prompt.utf8), to: .stdout) }
      try? host.fail(
        event.call, "EOFError", "no answer is left for input(); give one with --input TEXT")
      return
    }
    // As a notebook's reader sees it: the question and what was typed.
    let isSecret = bundle.metadata["secret"]?.boolean ?? false
    edit { $0.write(Array("\(prompt)\(isSecret ? "········" : answer)\n".utf8), to: .stdout) }
    try? host.reply(event.call, [Part("text/plain", text: answer)])
  }

  // MARK: What came of it

  /// Put the outputs into the notebook. Cells that were not reached lose what an earlier run left in them.
  private func keepOutcomes() {
    var number = 0
    for place in notebook.cells.indices where notebook.cells[place].isExecutable {
      let shown = outputs[place]
      if shown != nil { number += 1 }
      notebook.cells[place].outcome = .init(
        count: shown == nil ? nil : number, outputs: shown?.written() ?? [])
    }
  }

  /// "16 cells in 31.2 s: 12 ok, 4 failed as expected".
  var summary: String {
    let count = { (name: String, number: Int) in number > 0 ? "\(number) \(name)" : nil }
    let parts = [
      count("ok", cells.count { $0.status == .ok }),
      count("contained as the notebook expects", cells.count { $0.status != .ok && $0.isExpected }),
      count("failed as allowed", cells.count { $0.isAllowed && !$0.isExpected }),
      count("not ok", cells.count(where: \.isFailure)),
      count("not run", total - cells.count),
    ]
    if total == 0 { return "there was nothing to run" }
    return "\(countText(total, "cell")) in \(timeText(seconds: monotonicSeconds() - started)): "
      + parts.compactMap(\.self).joined(separator: ", ")
  }

  /// The whole run for `--report`.
  func report(notebook path: String, output: String) -> JSON {
    let workers = exits.map { (try? JSON(parsing: Array($0.json.utf8))) ?? .null }
    return [
      "notebook": .string(path), "output": .string(output),
      "warnings": .array(notebook.warnings.map(JSON.string)),
      "cells": .array(cells.map(\.json)), "workers": .array(workers),
    ]
  }
}

extension Event {
  fileprivate var cellStream: CellOutputs.Stream {
    stream == UInt32(LAUTER_STREAM_STDERR) ? .stderr : .stdout
  }
}
