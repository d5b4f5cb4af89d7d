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
  package var readyTimeoutMilliseconds: UInt64 = 30_000
  package var interruptGraceMilliseconds: UInt64 = 5000
  /// The caller's PATH, where an interpreter is looked for. Set by whoever reads the caller's
  /// environment.
  package var searchPath = "/usr/local/bin:/usr/bin:/bin"
  /// The caller's HOME, which an unconfined worker shares.
  package var callerHome: String?

  private static let kinds = ["python", "worker", "program"]
  private static let properties = [
    "interpreter", "argument", "directory", "label", "stdin", "stdout", "stderr", "ready-timeout",
    "interrupt-grace",
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
    case "ready-timeout":
      readyTimeoutMilliseconds = try PolicyAmount.time(value, for: property)
    case "interrupt-grace":
      interruptGraceMilliseconds = try PolicyAmount.time(value, for: property)
    default:
      let hint = PolicyAmount.suggestion(for: property, among: Launch.properties)
      throw PolicyError(subject: property, message: "unknown property '\(property)'; \(hint)")
    }
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
