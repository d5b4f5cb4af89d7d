// SPDX-License-Identifier: Apache-2.0

extension Policy {
  /// All words, as hints list them.
  static let words = [
    "read", "write", "deny", "tmp", "home", "net", "env", "run", "jit", "nest", "violations",
    "limit",
    "allow-missing",
  ]
  private static let limits = [
    "memory", "processes", "open-files", "file-size", "output", "arena", "cpus", "cpu", "wall",
  ]

  /// Add one word.
  ///
  /// - Parameter environment: the caller's value of a variable, for `env NAME`.
  package mutating func set(
    _ word: String, _ value: String, environment: (String) -> String?
  ) throws(PolicyError) {
    if value.utf8.contains(0) {
      throw PolicyError(subject: word, message: "\(word): the value holds a NUL byte")
    }
    switch word {
    case "read": try setRule(word, value, .read)
    case "write": try setRule(word, value, .write)
    case "deny":
      try refuseUnconfined(word, value)
      try setRule(word, value, .deny)
    case "tmp":
      try refuseUnconfined(word, value)
      temporaryBytes = try PolicyAmount.size(value, for: word)
    case "home": try setHome(value)
    case "net":
      switch value {
      case "none", "private":
        try refuseUnconfined(word, value)
        network = value == "none" ? .none : .own
      case "host": network = .host
      default: throw Policy.unknown(value, for: word, ["none", "private", "host"])
      }
    case "env": try setVariable(value, environment)
    case "run":
      switch value {
      case "any": runsPrograms = true
      case "none":
        try refuseUnconfined(word, value)
        runsPrograms = false
      default: throw Policy.unknown(value, for: word, ["any", "none"])
      }
    case "jit":
      switch value {
      case "any": runsOwnCode = true
      case "none":
        try refuseUnconfined(word, value)
        runsOwnCode = false
      default: throw Policy.unknown(value, for: word, ["any", "none"])
      }
    case "nest":
      switch value {
      case "any":
        try refuseUnconfined(word, value)
        nests = true
      case "none": nests = false
      default: throw Policy.unknown(value, for: word, ["any", "none"])
      }
    case "violations": try setViolations(value)
    case "limit": try setLimit(value)
    case "allow-missing":
      let known = Array(Policy.words.dropLast()) + ["namespaces"]
      guard known.contains(value) else {
        throw Policy.unknown(value, for: word, known)
      }
      allowMissing(value)
    case "device":
      throw PolicyError(subject: word, message: "device: reserved for a later version")
    default:
      let hint = PolicyAmount.suggestion(for: word, among: Policy.words)
      throw PolicyError(subject: word, message: "unknown word '\(word)'; \(hint)")
    }
  }

  /// What `unconfined` could only pretend to do is refused.
  private func refuseUnconfined(_ word: String, _ value: String) throws(PolicyError) {
    if isConfined { return }
    throw PolicyError(
      subject: word,
      message:
        "\(word) \(value): the preset unconfined confines nothing; begin with notebook or strict")
  }

  private static func unknown(_ value: String, for word: String, _ known: [String]) -> PolicyError {
    let hint = PolicyAmount.suggestion(for: value, among: known)
    return PolicyError(subject: word, message: "\(word): unknown value '\(value)'; \(hint)")
  }

  private mutating func setRule(
    _ word: String, _ value: String, _ access: Access
  ) throws(PolicyError) {
    let path = try PolicyPath.normalise(value, for: word)
    try Policy.refuseReserved(path, for: word)
    add(Rule(path: path, access: access))
  }

  /// The places that the sandbox makes itself cannot be had from the machine.
  private static func refuseReserved(_ path: String, for word: String) throws(PolicyError) {
    if PolicyPath.same(path, "/") {
      throw PolicyError(
        subject: path,
        message: "\(word) /: the whole file system is not taken; name the folders that are meant")
    }
    for reserved in ["/proc", "/dev"] where PolicyPath.isWithin(path, reserved) {
      throw PolicyError(
        subject: path, message: "\(word) \(path): a worker has a \(reserved) of its own")
    }
  }

  private mutating func setViolations(_ value: String) throws(PolicyError) {
    let wanted: Violations
    switch value {
    case "silent": wanted = .silent
    case "tell": wanted = .tell
    case "kill": wanted = .kill
    case "observe": wanted = .observe
    default: throw Policy.unknown(value, for: "violations", ["tell", "kill", "silent", "observe"])
    }
    try refuseUnconfined("violations", value)
    violations = wanted
  }

  private mutating func setHome(_ value: String) throws(PolicyError) {
    switch value {
    case "private":
      try refuseUnconfined("home", value)
      home = .own
    case "none":
      try refuseUnconfined("home", value)
      home = .none
    default:
      guard value.utf8.contains(UInt8(ascii: "/")) || value.utf8.first == UInt8(ascii: "~") else {
        throw PolicyError(
          subject: "home",
          message: "home: '\(value)' is neither private nor none nor an absolute path")
      }
      try refuseUnconfined("home", value)
      let path = try PolicyPath.normalise(value, for: "home")
      try Policy.refuseReserved(path, for: "home")
      home = .folder(path)
    }
  }

  private mutating func setVariable(
    _ value: String, _ environment: (String) -> String?
  ) throws(PolicyError) {
    let bytes = Array(value.utf8)
    let equals = bytes.firstIndex(of: UInt8(ascii: "="))
    let name = bytes[..<(equals ?? bytes.count)]
    let isName =
      !name.isEmpty
      && name.allSatisfy { byte in byte > 0x20 && byte != 0x7F }
    guard isName else {
      throw PolicyError(
        subject: "env",
        message: "env \(value): not NAME=VALUE, nor the NAME of a variable to pass on")
    }
    let nameText = String(decoding: name, as: UTF8.self)
    if let equals {
      add(
        Variable(name: nameText, value: String(decoding: bytes[(equals + 1)...], as: UTF8.self)))
      return
    }
    guard let inherited = environment(nameText) else {
      throw PolicyError(
        subject: nameText, message: "env \(nameText): the caller has no such variable to pass on")
    }
    add(Variable(name: nameText, value: inherited))
  }

  private mutating func setLimit(_ value: String) throws(PolicyError) {
    let bytes = Array(value.utf8)
    guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")) else {
      throw PolicyError(
        subject: "limit", message: "limit \(value): not NAME=VALUE, such as memory=1G")
    }
    let name = String(decoding: bytes[..<equals], as: UTF8.self)
    let amount = String(decoding: bytes[(equals + 1)...], as: UTF8.self)
    let lifted = amount == "none"
    let subject = "limit \(name)"
    switch name {
    case "memory": memoryBytes = lifted ? nil : try PolicyAmount.size(amount, for: subject)
    case "processes":
      processes = lifted ? nil : try PolicyAmount.count(amount, in: 1...4_194_304, for: subject)
    case "open-files":
      // With fewer no program starts: those it is born with, and what the sandbox and its loader
      // open.
      openFiles = lifted ? nil : try PolicyAmount.count(amount, in: 16...1_048_576, for: subject)
    case "file-size": fileBytes = lifted ? nil : try PolicyAmount.size(amount, for: subject)
    case "output": outputBytes = lifted ? nil : try PolicyAmount.size(amount, for: subject)
    case "arena": arenaBytes = lifted ? nil : try PolicyAmount.arena(amount, for: subject)
    case "cpus": milliCPUs = lifted ? nil : try PolicyAmount.thousandths(amount, for: subject)
    case "cpu": cpuMilliseconds = lifted ? nil : try PolicyAmount.time(amount, for: subject)
    case "wall": wallMilliseconds = lifted ? nil : try PolicyAmount.time(amount, for: subject)
    default: throw Policy.unknown(name, for: "limit", Policy.limits)
    }
  }
}
