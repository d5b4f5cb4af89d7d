// SPDX-License-Identifier: Apache-2.0

extension Policy {
  /// Apply a text of one `word value` a line. All or nothing.
  ///
  /// Blank lines and lines that begin with `#` are skipped. In a value, `\n`, `\r`, `\t`, `\s` and
  /// `\\` stand for a line's end, a carriage return, a tab, a space and a backslash, so that every
  /// path and variable has a line.
  package mutating func parse(
    _ text: String, environment: (String) -> String?
  ) throws(PolicyError) {
    var result = self
    var number = 0
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      number += 1
      let trimmed = Policy.trim(line)
      if trimmed.isEmpty || trimmed.first == UInt8(ascii: "#") { continue }
      do throws(PolicyError) {
        try result.apply(trimmed, environment)
      } catch {
        throw PolicyError(subject: error.subject, message: "line \(number): \(error.message)")
      }
    }
    self = result
  }

  private mutating func apply(
    _ line: Substring.UTF8View, _ environment: (String) -> String?
  ) throws(PolicyError) {
    let word = line.prefix { !Policy.isSpace($0) }
    let wordText = String(decoding: word, as: UTF8.self)
    let value = Policy.trim(line.dropFirst(word.count))
    guard !value.isEmpty else {
      let isKnown = Policy.words.contains(wordText)
      let hint = isKnown ? "" : "; " + PolicyAmount.suggestion(for: wordText, among: Policy.words)
      throw PolicyError(
        subject: wordText,
        message: isKnown ? "\(wordText): a value is missing" : "unknown word '\(wordText)'\(hint)")
    }
    try set(wordText, try Policy.unescape(value, for: wordText), environment: environment)
  }

  /// The policy in full, so that parsing it gives an equal policy whatever its preset's words were
  /// before. Canonical: equal policies, equal texts.
  package var text: String {
    var lines = Printer()
    switch preset {
    case .notebook: lines.text += "# preset notebook\n"
    case .strict: lines.text += "# preset strict\n"
    case .unconfined: lines.text += "# preset unconfined\n"
    }
    if isConfined {
      lines.add("tmp", PolicyAmount.sizeText(temporaryBytes))
      switch home {
      case .own: lines.add("home", "private")
      case .none: lines.add("home", "none")
      case .folder(let path): lines.add("home", path)
      }
    }
    switch network {
    case .none: lines.add("net", "none")
    case .own: lines.add("net", "private")
    case .host: lines.add("net", "host")
    }
    lines.add("run", runsPrograms ? "any" : "none")
    if isConfined {
      lines.add("jit", runsOwnCode ? "any" : "none")
      lines.add("nest", nests ? "any" : "none")
      switch violations {
      case .silent: lines.add("violations", "silent")
      case .tell: lines.add("violations", "tell")
      case .kill: lines.add("violations", "kill")
      case .observe: lines.add("violations", "observe")
      }
    }
    lines.limit("memory", memoryBytes.map(PolicyAmount.sizeText))
    lines.limit("processes", processes.map { "\($0)" })
    lines.limit("cpus", milliCPUs.map(PolicyAmount.thousandthsText))
    lines.limit("open-files", openFiles.map { "\($0)" })
    lines.limit("file-size", fileBytes.map(PolicyAmount.sizeText))
    lines.limit("output", outputBytes.map(PolicyAmount.sizeText))
    lines.limit("arena", arenaBytes.map(PolicyAmount.sizeText))
    lines.limit("cpu", cpuMilliseconds.map(PolicyAmount.timeText))
    lines.limit("wall", wallMilliseconds.map(PolicyAmount.timeText))
    for rule in rules {
      switch rule.access {
      case .read: lines.add("read", rule.path)
      case .write: lines.add("write", rule.path)
      case .deny: lines.add("deny", rule.path)
      }
    }
    for variable in variables { lines.add("env", variable.name + "=" + variable.value) }
    for word in allowMissing { lines.add("allow-missing", word) }
    return lines.text
  }

  private struct Printer {
    var text = ""

    mutating func add(_ word: String, _ value: String) {
      text += word + " " + Policy.escape(value) + "\n"
    }

    mutating func limit(_ name: String, _ value: String?) {
      add("limit", name + "=" + (value ?? "none"))
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }

  private static func trim(_ line: Substring.UTF8View) -> Substring.UTF8View {
    var line = line.drop { isSpace($0) }
    while let last = line.last, isSpace(last) { line.removeLast() }
    return line
  }

  private static func escape(_ value: String) -> String {
    let bytes = Array(value.utf8)
    var out: [UInt8] = []
    for (index, byte) in bytes.enumerated() {
      let isEdge = index == 0 || index == bytes.count - 1
      switch byte {
      case UInt8(ascii: "\\"): out += Array("\\\\".utf8)
      case UInt8(ascii: "\n"): out += Array("\\n".utf8)
      case UInt8(ascii: "\r"): out += Array("\\r".utf8)
      case UInt8(ascii: "\t"): out += Array("\\t".utf8)
      case UInt8(ascii: " ") where isEdge: out += Array("\\s".utf8)
      default: out.append(byte)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  private static func unescape(
    _ value: Substring.UTF8View, for word: String
  ) throws(PolicyError) -> String {
    var out: [UInt8] = []
    var escaped = false
    for byte in value {
      if !escaped {
        if byte == UInt8(ascii: "\\") { escaped = true } else { out.append(byte) }
        continue
      }
      escaped = false
      switch byte {
      case UInt8(ascii: "\\"): out.append(byte)
      case UInt8(ascii: "n"): out.append(UInt8(ascii: "\n"))
      case UInt8(ascii: "r"): out.append(UInt8(ascii: "\r"))
      case UInt8(ascii: "t"): out.append(UInt8(ascii: "\t"))
      case UInt8(ascii: "s"): out.append(UInt8(ascii: " "))
      default:
        throw PolicyError(
          subject: word,
          message:
            "\(word): a backslash stands before n, r, t, s or a backslash; write \\\\ for one")
      }
    }
    if escaped {
      throw PolicyError(
        subject: word, message: "\(word): the value ends in a single backslash; write \\\\ for one")
    }
    return String(decoding: out, as: UTF8.self)
  }
}
