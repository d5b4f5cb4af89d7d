// SPDX-License-Identifier: Apache-2.0

/// What a worker may read, write, reach, call and use up: the host's wish, as a value.
///
/// Nothing is looked up and nothing is touched here; `docs/policy.md` says what the words mean.
package struct Policy: Sendable {
  package enum Preset: Sendable { case notebook, strict, unconfined }

  /// What a path rule grants, or takes away.
  package enum Access: Sendable { case read, write, deny }

  package struct Rule: Sendable {
    package var path: String
    package var access: Access
  }

  package enum Home: Sendable {
    /// A home of its own, in memory, gone with the worker.
    case own
    /// None; programs that need one are pointed to /tmp.
    case none
    /// A folder of the machine, writable.
    case folder(String)
  }

  package enum Network: Sendable {
    /// No socket but Unix ones.
    case none
    /// A network namespace of its own with nothing but a loopback.
    case own
    /// The machine's.
    case host
  }

  /// What comes of a system call that belongs to the attack surface.
  package enum Violations: Sendable {
    /// It fails.
    case silent
    /// It fails, and the host is told.
    case tell
    /// It ends the worker.
    case kill
    /// No system call is refused, and the host is told of those that would be.
    case observe
  }

  package struct Variable: Sendable {
    package var name: String
    package var value: String
  }

  /// Where it began. What a preset means beyond its words: `strict` narrows /proc, `unconfined`
  /// confines nothing.
  package let preset: Preset
  /// At most one for each path, in byte order. The most specific one decides.
  package private(set) var rules: [Rule] = []
  /// In byte order of the names, none twice.
  package private(set) var variables: [Variable] = []
  package var temporaryBytes: UInt64
  package var home: Home
  package var network: Network
  /// Whether programs besides the first may be executed.
  package var runsPrograms: Bool
  /// Whether code may be executed that lies in memory or files that the worker writes.
  package var runsOwnCode = true
  /// Whether namespaces of its own may be made, and mounts in them.
  package var nests = false
  package var violations = Violations.silent
  /// Bytes of private writable memory for each process; nil: no limit.
  package var memoryBytes: UInt64?
  /// Processes and threads at a time; nil: no limit.
  package var processes: UInt64?
  /// Thousandths of a processor that all processes together may use at a time; nil: no limit.
  package var milliCPUs: UInt64?
  /// Descriptors at a time for each process; nil: as many as the machine gives.
  package var openFiles: UInt64?
  /// Bytes that a file may grow to by writing; nil: no limit.
  package var fileBytes: UInt64?
  /// Bytes that the host takes of the worker's streams and outputs, all in all; nil: no limit.
  package var outputBytes: UInt64?
  /// Bytes of memory shared with the host, for large parts of messages; nil: none.
  package var arenaBytes: UInt64? = 256 << 20
  /// CPU time for the whole worker; nil: no limit.
  package var cpuMilliseconds: UInt64?
  /// Wall-clock time for the whole worker; nil: no limit.
  package var wallMilliseconds: UInt64?
  /// Words that this machine may fail to enforce, in byte order.
  package private(set) var allowMissing: [String] = []

  /// A preset: "notebook", "strict" or "unconfined".
  package init(preset: String) throws(PolicyError) {
    switch preset {
    case "notebook":
      self.preset = .notebook
      temporaryBytes = 1 << 30
      home = .own
      network = .own
      runsPrograms = true
      violations = .tell
      memoryBytes = 4 << 30
      processes = 256
      openFiles = 4096
    case "strict":
      self.preset = .strict
      temporaryBytes = 64 << 20
      home = .none
      network = .none
      runsPrograms = false
      violations = .kill
      memoryBytes = 1 << 30
      processes = 32
      openFiles = 4096
    case "unconfined":
      self.preset = .unconfined
      temporaryBytes = 0
      home = .none
      network = .host
      runsPrograms = true
    default:
      let hint = PolicyAmount.suggestion(for: preset, among: Policy.presetNames)
      throw PolicyError(subject: preset, message: "unknown preset '\(preset)'; \(hint)")
    }
  }

  static let presetNames = ["notebook", "strict", "unconfined"]

  /// Whether there is a sandbox at all.
  package var isConfined: Bool { preset != .unconfined }

  /// Whether the worker's home is its own, and goes with it.
  package var hasOwnHome: Bool {
    if case .own = home { return true }
    return false
  }

  /// The worker's home, as it is seen inside; nil without one.
  package var homePath: String? {
    switch home {
    case .none: return nil
    case .folder(let path): return path
    case .own:
      // Where the policy shows a folder of the machine, no mount point can be made in it.
      for candidate in SystemView.privateHomes {
        let covered = rules.contains {
          $0.access != .deny && PolicyPath.isWithin(candidate, $0.path)
        }
        if !covered { return candidate }
      }
      return "/.worker"
    }
  }

  /// The variable's value, if the policy sets it.
  package func variable(_ name: String) -> String? {
    for variable in variables where variable.name.utf8.elementsEqual(name.utf8) {
      return variable.value
    }
    return nil
  }

  // MARK: For Policy+Words

  mutating func add(_ rule: Rule) {
    if let index = rules.firstIndex(where: { PolicyPath.same($0.path, rule.path) }) {
      rules[index] = rule
    } else {
      let index = rules.firstIndex { PolicyPath.precedes(rule.path, $0.path) } ?? rules.count
      rules.insert(rule, at: index)
    }
  }

  mutating func add(_ variable: Variable) {
    if let index = variables.firstIndex(where: { PolicyPath.same($0.name, variable.name) }) {
      variables[index] = variable
    } else {
      let index =
        variables.firstIndex { PolicyPath.precedes(variable.name, $0.name) } ?? variables.count
      variables.insert(variable, at: index)
    }
  }

  mutating func allowMissing(_ word: String) {
    if allowMissing.contains(where: { PolicyPath.same($0, word) }) { return }
    let index = allowMissing.firstIndex { PolicyPath.precedes(word, $0) } ?? allowMissing.count
    allowMissing.insert(word, at: index)
  }
}

extension Policy: Equatable {
  /// Equal policies print equal texts, and the other way round; not `String`'s equality (see
  /// `PolicyPath`).
  package static func == (a: Policy, b: Policy) -> Bool {
    a.text.utf8.elementsEqual(b.text.utf8)
  }
}
