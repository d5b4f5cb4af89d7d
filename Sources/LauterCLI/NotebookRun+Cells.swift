// SPDX-License-Identifier: Apache-2.0
import CLauter

extension NotebookRun {
  /// Bytes that are kept of an exception's message, a traceback, a prompt.
  static let longestWords = 100_000

  func execute(_ place: Int) throws -> CellReport {
    guard let worker else { throw Failure("there is no worker") }
    let cell = notebook.cells[place]
    var report = CellReport(number: cells.count + 1, title: cell.title)
    report.isExpected = cell.tags.contains("raises-exception")
    progress.begin(report)
    current = place
    outputs[place] = CellOutputs(bounds: options.bounds)
    let metadata: JSON = [
      "cell": .string("cell \(report.number)"), "count": .number(String(report.number)),
    ]
    let parts = [
      Part("text/x-python", text: cell.source), Part(Part.metadataType, metadata.written()),
    ]
    let begun = monotonicSeconds()
    done = nil
    call = try host.call(worker, "execute", parts, timeout: options.timeout ?? -1)
    defer { call = nil }
    try pump { self.done != nil || self.worker == nil }
    if let done { try finish(done, &report) }
    if self.worker == nil { noteDeath(&report) }
    report.seconds = monotonicSeconds() - begun
    noteLosses(&report)
    return report
  }

  /// Take over what a call came to.
  private func finish(_ done: Event, _ report: inout CellReport) throws {
    switch Int(done.status) {
    case LAUTER_OK:
      edit { $0.result(MediaBundle(done.parts), count: report.number) }
    case LAUTER_ERROR_FAILED:
      report.status = lastSignal == nil ? .failed : .interrupted
      report.isAllowed = options.allowsErrors && report.status == .failed
      keepFailure(done, &report)
    case LAUTER_ERROR_TIMEOUT:
      report.status = .timedOut
      try finishLate(done, &report)
    default:
      try pump { self.worker == nil }
    }
  }

  /// The cell's time was up: it heeded the interrupt, or its worker was killed.
  private func finishLate(_ done: Event, _ report: inout CellReport) throws {
    let limit = timeText(milliseconds: options.timeout ?? 0)
    // A killed worker's end is told together with its call's.
    try takeWhatIsThere()
    guard worker != nil else {
      report.notes.append("its time of \(limit) was up and it did not heed the interrupt")
      return
    }
    let note = "interrupted when its time of \(limit) was up; the worker's state is kept"
    if done.name.isEmpty {
      edit { $0.result(MediaBundle(done.parts), count: report.number) }
      report.notes.append(note)
    } else {
      keepFailure(done, &report, note: note)
    }
  }

  private func keepFailure(_ done: Event, _ report: inout CellReport, note: String? = nil) {
    let words = { (type: String) in
      done.parts.first { $0.type == type }?.text(atMost: NotebookRun.longestWords)
    }
    let message = words("text/plain") ?? ""
    let traceback = words(Part.tracebackType) ?? "\(done.name): \(message)"
    let notes = [words(Part.noteType), note].compactMap(\.self)
    var lines = traceback.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if lines.last == "" { lines.removeLast() }
    for note in notes where !traceback.contains(note) { lines.append("note: \(note)") }
    edit { $0.error(name: done.name, value: message, traceback: lines) }
    report.error = message.isEmpty ? done.name : "\(done.name): \(message)"
    report.notes += notes
  }

  /// The worker ended while the cell ran.
  private func noteDeath(_ report: inout CellReport) {
    if report.status != .timedOut { report.status = lastSignal == nil ? .died : .interrupted }
    let why = exits.last?.why ?? "it ended without a report"
    edit { $0.error(name: "WorkerDied", value: why, traceback: ["WorkerDied: \(why)"]) }
    report.error = "WorkerDied: \(why)"
    if lastSignal == nil, report.number < total {
      report.notes.append(
        options.onDeath == .restart
          ? "the state is lost; a fresh worker goes on with the next cell"
          : "the run ends here (--on-death stop)")
    }
  }

  private func noteLosses(_ report: inout CellReport) {
    guard let current, let kept = outputs[current] else { return }
    if kept.lostBytes > 0 {
      report.notes.append("\(sizeText(kept.lostBytes)) of output were not kept (--max-output)")
    }
    if kept.lostDisplays > 0 {
      report.notes.append("\(countText(kept.lostDisplays, "display")) not kept (--max-display)")
    }
  }
}

/// "5 s", "500 ms": a time that somebody has set.
private func timeText(milliseconds: Int64) -> String {
  milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
}
