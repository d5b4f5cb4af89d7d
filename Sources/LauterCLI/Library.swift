// SPDX-License-Identifier: Apache-2.0
import CLauter
import Glibc

/// An error of the library's, taken over.
struct LibraryError: Error {
  var code: Int32
  var step: Int32
  var subject: String
  var message: String

  init(_ error: OpaquePointer?) {
    code = lauter_error_code(error)
    step = lauter_error_step(error)
    subject = String(cString: lauter_error_subject(error))
    message = String(cString: lauter_error_message(error))
  }

  /// As a failure of ours.
  var failure: Failure { Failure(message) }
}

/// Call a function of the library and turn its error into one of Swift's.
@discardableResult
func library(_ body: (UnsafeMutablePointer<OpaquePointer?>) -> Int32) throws(LibraryError) -> Int32
{
  var error: OpaquePointer?
  defer { lauter_error_free(error) }
  let code = body(&error)
  if code < 0 {
    var failure = LibraryError(error)
    failure.code = code
    throw failure
  }
  return code
}

/// Take over a string that the library made.
private func owned(_ text: UnsafeMutablePointer<CChar>?) -> String? {
  defer { lauter_string_free(text) }
  return text.map { String(cString: $0) }
}

/// `lauter_policy`.
final class Policy {
  fileprivate var handle: OpaquePointer?

  init(preset: String) throws(LibraryError) {
    try library { lauter_policy_new(preset, &handle, $0) }
  }
  deinit { lauter_policy_free(handle) }

  func set(_ word: String, _ value: String) throws(LibraryError) {
    try library { lauter_policy_set(handle, word, value, $0) }
  }

  func parse(_ text: String) throws(LibraryError) {
    try library { lauter_policy_parse(handle, text, $0) }
  }

  func printed() throws(LibraryError) -> String {
    var text: UnsafeMutablePointer<CChar>?
    try library { lauter_policy_print(handle, &text, $0) }
    return owned(text) ?? ""
  }

  /// Whether it says how much output a worker may make.
  func limitsOutput() throws(LibraryError) -> Bool {
    !(try printed()).utf8.split(separator: UInt8(ascii: "\n")).contains {
      $0.elementsEqual("limit output=none".utf8)
    }
  }

  func allows(_ word: String, _ value: String) throws(LibraryError) -> Bool {
    var why: UnsafeMutablePointer<CChar>?
    defer { lauter_string_free(why) }
    return try library { lauter_policy_check(handle, word, value, &why, $0) } == 1
  }

  func explained(_ launch: Launch) throws(LibraryError) -> String {
    var text: UnsafeMutablePointer<CChar>?
    try library { lauter_policy_explain(handle, launch.handle, &text, $0) }
    return owned(text) ?? ""
  }
}

/// `lauter_launch`.
final class Launch {
  fileprivate var handle: OpaquePointer?

  init(kind: String) throws(LibraryError) {
    try library { lauter_launch_new(kind, &handle, $0) }
  }
  deinit { lauter_launch_free(handle) }

  func set(_ property: String, _ value: String) throws(LibraryError) {
    try library { lauter_launch_set(handle, property, value, $0) }
  }
}

/// A worker's exit report.
struct ExitReport {
  var reason: UInt32
  var exitCode: Int32
  var signal: Int32
  var why: String
  /// The last that it wrote to a captured standard error.
  var stderrTail: String
  var json: String

  fileprivate init?(_ report: UnsafePointer<lauter_report>?) {
    guard let report else { return nil }
    reason = report.pointee.reason
    exitCode = report.pointee.exit_code
    signal = report.pointee.signal
    why = String(cString: report.pointee.why)
    stderrTail = String(cString: report.pointee.stderr_tail)
    var text: UnsafeMutablePointer<CChar>?
    guard lauter_report_json(report, &text, nil) == 0 else { return nil }
    json = owned(text) ?? "{}"
  }

  /// The status that a shell would give.
  var shellStatus: Int32 { exitCode >= 0 ? exitCode : 128 + signal }
}

/// An event, taken over from the library.
struct Event {
  var kind: Int
  var call: UInt64
  var status: Int32
  var stream: UInt32
  var dropped: UInt64
  var name: String
  var parts: [Part]
  var error: LibraryError?
  var report: ExitReport?

  fileprivate init(_ event: lauter_event) {
    kind = Int(event.kind)
    call = event.call
    status = event.status
    stream = event.stream
    dropped = event.dropped
    name = event.name.map { String(cString: $0) } ?? ""
    parts = UnsafeBufferPointer(start: event.parts, count: event.part_count).map { part in
      Part(
        String(cString: part.type),
        Array(UnsafeRawBufferPointer(start: part.data, count: part.size)))
    }
    error = event.error.map { LibraryError($0) }
    report = ExitReport(event.report)
  }
}

extension Event {
  /// What a DENIED event says in words.
  var sentence: String {
    parts.first { $0.type == "text/plain" }.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
  }
}

/// `lauter_host`, with signals beside it.
final class Host {
  private var handle: OpaquePointer?
  let signals: SignalInbox

  init(signals: SignalInbox) throws(LibraryError) {
    self.signals = signals
    try library { lauter_host_new(&handle, $0) }
  }
  deinit { lauter_host_free(handle) }

  func spawn(_ policy: Policy, _ launch: Launch) throws(LibraryError) -> lauter_worker {
    var worker: lauter_worker = 0
    try library { lauter_spawn(handle, policy.handle, launch.handle, 0, &worker, $0) }
    return worker
  }

  func signal(_ worker: lauter_worker, _ number: Int32) throws(LibraryError) {
    try library { lauter_worker_signal(handle, worker, number, $0) }
  }

  func pause(_ worker: lauter_worker) throws(LibraryError) {
    try library { lauter_worker_pause(handle, worker, $0) }
  }

  func resume(_ worker: lauter_worker) throws(LibraryError) {
    try library { lauter_worker_resume(handle, worker, $0) }
  }

  /// Into its terminal; nothing sends the end of input.
  func type(_ worker: lauter_worker, _ bytes: [UInt8]) throws(LibraryError) {
    try library { error in
      bytes.withUnsafeBytes {
        lauter_worker_stdin(handle, worker, $0.baseAddress, $0.count, error)
      }
    }
  }

  func resize(_ worker: lauter_worker, _ size: TerminalSize) throws(LibraryError) {
    try library { lauter_worker_resize(handle, worker, size.rows, size.columns, $0) }
  }

  func setForeground(_ worker: lauter_worker, _ wanted: Bool) throws(LibraryError) {
    try library { lauter_worker_foreground(handle, worker, wanted ? 1 : 0, $0) }
  }

  func stop(_ worker: lauter_worker) throws(LibraryError) {
    try library { lauter_worker_stop(handle, worker, 1000, 1000, $0) }
  }

  func kill(_ worker: lauter_worker) throws(LibraryError) {
    try library { lauter_worker_kill(handle, worker, $0) }
  }

  func call(_ worker: lauter_worker, _ verb: String, _ parts: [Part], timeout: Int64)
    throws(LibraryError)
    -> lauter_call
  {
    var call: lauter_call = 0
    try withParts(parts) { parts, error in
      lauter_call_start(
        handle, worker, UInt32(LAUTER_LANE_MAIN), verb, parts.baseAddress, parts.count, timeout, 0,
        &call, error)
    }
    return call
  }

  func interrupt(_ call: lauter_call) throws(LibraryError) {
    try library { lauter_call_interrupt(handle, call, $0) }
  }

  func reply(_ call: lauter_call, _ parts: [Part]) throws(LibraryError) {
    try withParts(parts) { parts, error in
      lauter_call_reply(handle, call, parts.baseAddress, parts.count, error)
    }
  }

  func fail(_ call: lauter_call, _ name: String, _ message: String) throws(LibraryError) {
    try library { lauter_call_fail(handle, call, name, message, $0) }
  }

  /// Readable when `take` has, or may have, something.
  var descriptor: Int32 { lauter_host_fd(handle) }

  /// The next event, if there is one.
  func take() throws(LibraryError) -> Event? {
    var event = lauter_event()
    event.size = UInt32(MemoryLayout<lauter_event>.size)
    defer { lauter_event_clear(&event) }
    return try library({ lauter_host_next(handle, &event, $0) }) > 0 ? Event(event) : nil
  }

  /// What happens next: an event or a signal, or nothing within the time (in milliseconds, -1: wait).
  func next(timeout: Int32) throws(LibraryError) -> Happening? {
    while true {
      if let signal = signals.take() { return .signal(signal) }
      if let event = try take() { return .event(event) }
      var waits = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      if poll(&waits, 2, timeout) == 0 { return nil }
    }
  }

  enum Happening {
    case event(Event)
    case signal(Int32)
  }

  /// Lend the parts to C for the time of a call.
  private func withParts(
    _ parts: [Part],
    _ body: (UnsafeBufferPointer<lauter_part>, UnsafeMutablePointer<OpaquePointer?>) -> Int32
  ) throws(LibraryError) {
    let bytes = parts.map { part in
      let copy = UnsafeMutableRawBufferPointer.allocate(
        byteCount: max(1, part.bytes.count), alignment: 1)
      copy.copyBytes(from: part.bytes)
      return copy
    }
    let types = parts.map { strdup($0.type) }
    defer {
      for copy in bytes { copy.deallocate() }
      for type in types { free(type) }
    }
    let lent = zip(parts.indices, parts).map { index, part in
      lauter_part(type: types[index], data: bytes[index].baseAddress, size: part.bytes.count)
    }
    try library { error in lent.withUnsafeBufferPointer { body($0, error) } }
  }
}

extension LibraryError {
  init(code: Int32, message: String) {
    self.code = code
    self.message = message
    step = 0
    subject = ""
  }
}

/// `lauter_doctor`.
func doctor() throws(LibraryError) -> (status: Int32, json: String) {
  var text: UnsafeMutablePointer<CChar>?
  let status = try library { lauter_doctor(&text, $0) }
  return (status, owned(text) ?? "")
}
