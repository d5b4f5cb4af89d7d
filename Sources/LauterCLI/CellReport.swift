// SPDX-License-Identifier: Apache-2.0

/// What running one cell came to, for the progress line and the report.
struct CellReport {
  enum Status: String {
    case ok, failed, interrupted
    case timedOut = "timed-out"
    case died
  }

  var number: Int
  var title: String
  var status: Status = .ok
  var seconds: Double = 0
  /// The notebook says that this cell raises an exception.
  var isExpected = false
  /// It raised an exception, and those count as no failure in this run.
  var isAllowed = false
  /// "PermissionError: [Errno 13] …"
  var error: String?
  /// What was refused, limited or lost, a sentence each.
  var notes: [String] = []

  /// Whether the cell makes the whole run a failure.
  var isFailure: Bool { status != .ok && !isExpected && !isAllowed }

  /// The report's form.
  var json: JSON {
    var object: JSON.Object = [
      "cell": .number(String(number)), "title": .string(title),
      "status": .string(status.rawValue),
      "seconds": .number(String((seconds * 1000).rounded() / 1000)),
      "expected": .bool(isExpected), "notes": .array(notes.map(JSON.string)),
    ]
    if let error { object["error"] = .string(error) }
    return .object(object)
  }
}
