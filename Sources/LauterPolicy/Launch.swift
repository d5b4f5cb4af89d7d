// SPDX-License-Identifier: Apache-2.0

/// What is started in a sandbox: not a policy, and as much a value.
package struct Launch: Equatable, Sendable {
  package enum Kind: Sendable {
    /// The Python runtime of the library.
    case python
    /// A program that speaks the protocol.
    case worker
    /// Any program.
    case program
  }

  package enum Input: Sendable { case null, inherit, pipe }
  package enum Output: Sendable { case capture, inherit, null }

  /// A pseudo-terminal in the place of all three streams.
  package struct Terminal: Equatable, Sendable {
    package var rows: UInt16
    package var columns: UInt16
    /// The worker begins in the background of it.
    package var inBackground = false
  }

  package let kind: Kind
  package var label = ""
  /// The program and its arguments; for `python`, arguments of the runtime.
  package var arguments: [String] = []
  /// Absolute; nil: found on `searchPath`.
  package var interpreter: String?
  /// Absolute, inside the sandbox; nil: the home.
  package var directory: String?
  package var stdin = Input.null
  package var stdout = Output.capture
  package var stderr = Output.capture
  package private(set) var terminal: Terminal?
  /// Large parts that the worker sends are left in memory that it can still write.
  package var readsInPlace = false
  package var readyTimeoutMilliseconds: UInt64 = 30_000
  package var interruptGraceMilliseconds: UInt64 = 5000
  /// The caller's PATH, where an interpreter is looked for. Set by whoever reads the caller's
  /// environment.
  package var searchPath = "/usr/local/bin:/usr/bin:/bin"
  /// The caller's HOME, which an unconfined worker shares.
  package var callerHome: String?
  /// The caller's TMPDIR, where a worker has its folder that can have no /tmp of its own.
  package var callerTemporary: String?

  private static let kinds = ["python", "worker", "program"]
  private static let properties = [
    "interpreter", "argument", "directory", "label", "stdin", "stdout", "stderr", "terminal",
    "parts", "ready-timeout", "interrupt-grace",
  ]

  /// "python", "worker" or "program".
  package init(kind: String) throws(PolicyError) {
    switch kind {
    case "python": self.kind = .python
    case "worker": self.kind = .worker
    case "program": self.kind = .program
    default:
      let hint = PolicyAmount.suggestion(for: kind, among: Launch.kinds)
      throw PolicyError(subject: kind, message: "unknown kind of launch '\(kind)'; \(hint)")
    }
  }

  /// Set one property, as lauter_launch_set() documents them.
  package mutating func set(_ property: String, _ value: String) throws(PolicyError) {
    if value.utf8.contains(0) {
      throw PolicyError(subject: property, message: "\(property): the value holds a NUL byte")
    }
    let before = self
    switch property {
    case "interpreter":
      guard kind == .python else {
        throw PolicyError(
          subject: property, message: "interpreter: only a launch of kind python has one")
      }
      interpreter = try PolicyPath.normalise(value, for: property)
    case "argument": arguments.append(value)
    case "directory": directory = try PolicyPath.normalise(value, for: property)
    case "label": label = value
    case "stdin":
      switch value {
      case "null": stdin = .null
      case "inherit": stdin = .inherit
      case "pipe": stdin = .pipe
      default: throw Launch.unknown(value, for: property, ["null", "inherit", "pipe"])
      }
    case "stdout": stdout = try Launch.output(value, for: property)
    case "stderr": stderr = try Launch.output(value, for: property)
    case "terminal": terminal = value == "none" ? nil : try Launch.terminal(value)
    case "parts":
      switch value {
      case "copy": readsInPlace = false
      case "in-place": readsInPlace = true
      default: throw Launch.unknown(value, for: property, ["copy", "in-place"])
      }
    case "ready-timeout":
      readyTimeoutMilliseconds = try PolicyAmount.time(value, for: property)
    case "interrupt-grace":
      interruptGraceMilliseconds = try PolicyAmount.time(value, for: property)
    default:
      let hint = PolicyAmount.suggestion(for: property, among: Launch.properties)
      throw PolicyError(subject: property, message: "unknown property '\(property)'; \(hint)")
    }
    if terminal != nil, stdin != .null || stdout != .capture || stderr != .capture {
      self = before
      throw PolicyError(
        subject: property,
        message: "\(property) \(value): a worker's terminal is its stdin, stdout and stderr; leave "
          + "those as they are, or give up the terminal with 'terminal none'")
    }
  }

  /// `ROWSxCOLUMNS` or `ROWSxCOLUMNS background`.
  private static func terminal(_ value: String) throws(PolicyError) -> Terminal {
    var text = value.utf8[...]
    let background = " background".utf8
    let inBackground = text.suffix(background.count).elementsEqual(background)
    if inBackground { text = text.dropLast(background.count) }
    let sides = text.split(separator: UInt8(ascii: "x"), omittingEmptySubsequences: false)
    guard sides.count == 2, let rows = cells(sides[0]), let columns = cells(sides[1]) else {
      throw PolicyError(
        subject: "terminal",
        message: "terminal: '\(value)' is not none or ROWSxCOLUMNS, such as 24x80")
    }
    return Terminal(rows: rows, columns: columns, inBackground: inBackground)
  }

  /// 1…65535.
  private static func cells(_ digits: Substring.UTF8View) -> UInt16? {
    guard !digits.isEmpty, digits.count <= 5 else { return nil }
    var value = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      value = value * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return value == 0 ? nil : UInt16(exactly: value)
  }

  private static func output(
    _ value: String, for property: String
  ) throws(PolicyError) -> Output {
    switch value {
    case "capture": return .capture
    case "inherit": return .inherit
    case "null": return .null
    default: throw unknown(value, for: property, ["capture", "inherit", "null"])
    }
  }

  private static func unknown(
    _ value: String, for property: String, _ known: [String]
  ) -> PolicyError {
    let hint = PolicyAmount.suggestion(for: value, among: known)
    return PolicyError(subject: property, message: "\(property): unknown value '\(value)'; \(hint)")
  }
}
