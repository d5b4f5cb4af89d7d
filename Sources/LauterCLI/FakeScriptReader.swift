// SPDX-License-Identifier: Apache-2.0

/// Reads a script of `lauter fake-worker`; what is wrong with it is told with its line.
struct FakeScriptReader {
  private let name: String
  private var number = 0
  private var words: [Word] = []
  private var depth = 0

  private struct Word {
    var text: [UInt8]
    var isQuoted: Bool

    var plain: String { String(decoding: text, as: UTF8.self) }
  }

  init(name: String) { self.name = name }

  mutating func read(_ text: String) throws(Failure) -> [FakeScript.Line] {
    var rest = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .map { Array($0) }[...]
    return try block(&rest, begun: 0)
  }

  private func wrong(_ what: String) -> Failure { Failure("\(name):\(number): \(what)") }

  /// Lines until the block's `done`, or the script's end.
  private mutating func block(
    _ rest: inout ArraySlice<[UInt8]>, begun: Int
  ) throws(Failure) -> [FakeScript.Line] {
    var lines: [FakeScript.Line] = []
    while let line = rest.popFirst() {
      number += 1
      words = try split(line)[...].map { $0 }
      guard let first = words.first else { continue }
      words.removeFirst()
      let here = number
      let verb = first.isQuoted ? "\"\(first.plain)\"" : first.plain
      if verb == "done" {
        guard begun > 0 else { throw wrong("'done' ends no block") }
        try nothingMore(verb)
        return lines
      }
      let doing: FakeScript.Doing
      switch verb {
      case "repeat", "forever", "fork":
        let kind: FakeScript.Block =
          verb == "repeat" ? .times(try value("how often")) : verb == "fork" ? .fork : .forever
        try nothingMore(verb)
        doing = .block(kind, try block(&rest, begun: here))
      default:
        doing = try statement(verb)
      }
      lines.append(FakeScript.Line(number: here, doing: doing))
    }
    guard begun == 0 else {
      number = begun
      throw wrong("the block that begins here has no 'done'")
    }
    return lines
  }

  private static let verbs = [
    "hello", "ready", "await", "answer", "fail", "output", "call", "message", "frame", "raw",
    "stdout",
    "stderr", "place", "descriptors", "repeat", "forever", "fork", "done", "pace", "sleep", "pause",
    "ignore", "keep", "shut", "close", "truncate", "die", "exit",
  ]

  private mutating func statement(_ verb: String) throws(Failure) -> FakeScript.Doing {
    let doing = try parse(verb)
    try nothingMore(verb)
    return doing
  }

  private mutating func parse(_ verb: String) throws(Failure) -> FakeScript.Doing {
    switch verb {
    case "hello":
      var name = "fake"
      let fields = try fields(
        ["magic", "lowest", "highest", "abilities", "arena", "largest", "name"], text: "name",
        into: &name)
      return .hello(fields, name: name)
    case "ready":
      return .frame(FakeKind(2), [:], [])
    case "await":
      let kind = try word("a kind of frame, or 'eof'")
      let within = try takeWord("within") ? period() : nil
      return .take(kind == "eof" ? nil : try self.kind(kind), within: within)
    case "answer":
      return .message(.result, id: .init("call"), name: "", parent: .init(0), try parts())
    case "fail":
      let type = try word("the failure's type")
      return .message(.failure, id: .init("call"), name: type, parent: .init(0), try parts())
    case "output":
      let kind = try word("the output's name")
      return .message(.output, id: .init("call"), name: kind, parent: .init(0), try parts())
    case "call":
      let verb = try word("the call's verb")
      return .message(.call, id: .init("id"), name: verb, parent: .init("call"), try parts())
    case "message":
      let kind = try kind(try word("a kind of message"))
      var name = ""
      let fields = try fields(["id", "name", "parent"], text: "name", into: &name)
      return .message(
        kind, id: fields["id"] ?? .init(0), name: name, parent: fields["parent"] ?? .init(0),
        try parts())
    case "frame":
      let kind = try kind(try word("a kind of frame"))
      var none = ""
      let fields = try fields(["size", "flags", "slot", "id"], text: nil, into: &none)
      return .frame(kind, fields, try items())
    case "raw": return .write(.session, try items())
    case "stdout": return .write(.stdout, try items())
    case "stderr": return .write(.stderr, try items())
    case "place": return .place(try value("an offset in the arena"), try items())
    case "descriptors": return .descriptors(try value("how many"))
    case "pace": return .pace(try takeWord("none") ? 0 : period())
    case "sleep": return .sleep(try period())
    case "pause":
      return .sleep(nil)
    case "ignore":
      let what = try word("'stop' or a signal")
      guard what == "stop" || fakeSignals[signalName(what)] != nil else {
        throw wrong("no signal is called '\(what.harmless)'")
      }
      return .ignore(what == "stop" ? what : signalName(what))
    case "keep":
      guard try word("'places'") == "places" else { throw wrong("'keep' is followed by 'places'") }
      return .keepPlaces
    case "shut":
      let ways: [String: Int32] = ["reading": 0, "writing": 1, "both": 2]
      guard let way = ways[try word("reading, writing or both")] else {
        throw wrong("'shut' is followed by reading, writing or both")
      }
      return .shut(way)
    case "close":
      var descriptors: [Int32] = []
      repeat {
        guard let each = Int32(try word("a descriptor")) else {
          throw wrong("a descriptor is a number")
        }
        descriptors.append(each)
      } while !words.isEmpty
      return .close(descriptors)
    case "truncate":
      guard let descriptor = Int32(try word("a descriptor")) else {
        throw wrong("a descriptor is a number")
      }
      return .truncate(descriptor, try value("a size"))
    case "die":
      let what = try word("a signal")
      guard let signal = fakeSignals[signalName(what)] else {
        throw wrong("no signal is called '\(what.harmless)'")
      }
      return .die(signal)
    case "exit": return .exit(try value("a status"))
    default:
      let near = FakeScriptReader.verbs.first {
        $0.count == verb.count && Set($0) == Set(verb) || $0.hasPrefix(verb)
      }
      let hint = near.map { "; did you mean '\($0)'?" } ?? ""
      throw wrong("there is no '\(verb.harmless)' here\(hint)")
    }
  }

  private func signalName(_ word: String) -> String {
    let name = word.uppercased()
    return name.hasPrefix("SIG") ? String(name.dropFirst(3)) : name
  }

  // ---------------------------------------------------------------------------------- words --

  private func nothingMore(_ verb: String) throws(Failure) {
    if let next = words.first {
      throw wrong("'\(next.plain.harmless)' is one too many for '\(verb)'")
    }
  }

  private mutating func word(_ what: String) throws(Failure) -> String {
    guard !words.isEmpty else { throw wrong("\(what) is missing") }
    return words.removeFirst().plain
  }

  private mutating func takeWord(_ word: String) throws(Failure) -> Bool {
    guard let first = words.first, !first.isQuoted, first.plain == word else { return false }
    words.removeFirst()
    return true
  }

  private func kind(_ word: String) throws(Failure) -> FakeKind {
    guard let kind = FakeKind(word) else {
      throw wrong("no kind of frame is called '\(word.harmless)'")
    }
    return kind
  }

  /// Words of these, each followed by a number, but for `text`.
  private mutating func fields(
    _ names: [String], text: String?, into: inout String
  ) throws(Failure) -> [String: FakeScript.Value] {
    var found: [String: FakeScript.Value] = [:]
    while let first = words.first, !first.isQuoted, names.contains(first.plain) {
      words.removeFirst()
      if first.plain == text {
        into = try word("a text after '\(first.plain)'")
      } else {
        found[first.plain] = try value("a number after '\(first.plain)'")
      }
    }
    return found
  }

  private mutating func period() throws(Failure) -> Double {
    let text = try word("a time")
    let units: [(String, Double)] = [("ms", 0.001), ("s", 1), ("m", 60)]
    for (unit, seconds) in units where text.hasSuffix(unit) {
      if let count = UInt32(text.dropLast(unit.count)) { return Double(count) * seconds }
    }
    throw wrong("'\(text.harmless)' is no time: 500ms, 5s, 10m")
  }

  private mutating func value(_ what: String) throws(Failure) -> FakeScript.Value {
    guard let first = words.first, !first.isQuoted else { throw wrong("\(what) is missing") }
    words.removeFirst()
    return try value(of: first.plain)
  }

  private func value(of word: String) throws(Failure) -> FakeScript.Value {
    var terms: [(operation: Character, term: FakeScript.Value.Term)] = []
    var operation: Character = "+"
    var term = ""
    for character in word + "+" {
      guard "+-*".contains(character) else {
        term.append(character)
        continue
      }
      if term.isEmpty, terms.isEmpty, character == "-", operation == "+" {
        operation = "-"
        continue
      }
      terms.append((operation, try self.term(term, in: word)))
      operation = character
      term = ""
    }
    return FakeScript.Value(terms)
  }

  private func term(_ text: String, in word: String) throws(Failure) -> FakeScript.Value.Term {
    if text.hasPrefix("$") {
      let name = String(text.dropFirst())
      guard FakeScript.variables.contains(name) else {
        let all = FakeScript.variables.map { "$" + $0 }.joined(separator: ", ")
        throw wrong("there is no '\(text.harmless)': \(all)")
      }
      return .variable(name)
    }
    let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = text.last.flatMap { units[$0] }
    let digits = unit == nil ? text[...] : text.dropLast()
    let plain = digits.hasPrefix("0x") ? UInt64(digits.dropFirst(2), radix: 16) : UInt64(digits)
    guard let plain, !plain.multipliedReportingOverflow(by: unit ?? 1).overflow else {
      throw wrong("'\(word.harmless)' is no number")
    }
    return .number(plain * (unit ?? 1))
  }

  // ---------------------------------------------------------------------------------- bytes --

  private mutating func items() throws(Failure) -> [FakeScript.Item] {
    var items: [FakeScript.Item] = []
    while !words.isEmpty { items.append(try item()) }
    return items
  }

  private mutating func item() throws(Failure) -> FakeScript.Item {
    let first = words.removeFirst()
    if first.isQuoted { return .bytes(first.text) }
    switch first.plain {
    case "hex":
      let text = Array(try word("hexadecimal digits").utf8)
      var bytes: [UInt8] = []
      for at in stride(from: 0, to: text.count, by: 2) {
        let pair = String(decoding: text[at..<min(at + 2, text.count)], as: UTF8.self)
        guard pair.utf8.count == 2, let byte = UInt8(pair, radix: 16) else {
          throw wrong("'\(pair.harmless)' are no two hexadecimal digits")
        }
        bytes.append(byte)
      }
      return .bytes(bytes)
    case "zeros": return .zeros(try value("how many"))
    case "u8": return .integer(bytes: 1, try value("a number"))
    case "u16": return .integer(bytes: 2, try value("a number"))
    case "u32": return .integer(bytes: 4, try value("a number"))
    case "u64": return .integer(bytes: 8, try value("a number"))
    case "head":
      let parts = try value("the number of parts")
      let name = Array(try word("a name, or \"\"").utf8)
      let lane = try takeWord("lane") ? value("a lane") : .init(0)
      let parent = try takeWord("parent") ? value("an id") : .init(0)
      return .head(parts: parts, name: name, lane: lane, parent: parent)
    case "part":
      return .part(
        type: Array(try word("a media type, or \"\"").utf8), size: try value("the part's size"))
    default:
      throw wrong(
        "'\(first.plain.harmless)' are no bytes: \"text\", hex, zeros, u8 to u64, head or part")
    }
  }

  /// Parts of a message: texts, or a media type and bytes.
  private mutating func parts() throws(Failure) -> [FakeScript.FakePart] {
    var parts: [FakeScript.FakePart] = []
    while let first = words.first {
      var type = Array("text/plain".utf8)
      if !first.isQuoted, first.plain.contains("/") {
        type = first.text
        words.removeFirst()
        guard !words.isEmpty else { throw wrong("the part's bytes are missing") }
      }
      let item = try item()
      switch item {
      case .bytes, .zeros, .integer: parts.append(FakeScript.FakePart(type: type, item: item))
      case .head, .part: throw wrong("'head' and 'part' belong to 'frame' and 'raw'")
      }
    }
    return parts
  }

  private func split(_ line: [UInt8]) throws(Failure) -> [Word] {
    var words: [Word] = []
    var at = 0
    while at < line.count {
      if line[at] == UInt8(ascii: " ") || line[at] == UInt8(ascii: "\t") || line[at] == 13 {
        at += 1
      } else if line[at] == UInt8(ascii: "#") {
        break
      } else if line[at] == UInt8(ascii: "\"") {
        words.append(try quoted(line, &at))
      } else {
        let start = at
        while at < line.count, ![9, 13, 32].contains(line[at]) {
          at += 1
        }
        words.append(Word(text: Array(line[start..<at]), isQuoted: false))
      }
    }
    return words
  }

  private func quoted(_ line: [UInt8], _ at: inout Int) throws(Failure) -> Word {
    var text: [UInt8] = []
    at += 1
    while at < line.count {
      let byte = line[at]
      at += 1
      if byte == UInt8(ascii: "\"") { return Word(text: text, isQuoted: true) }
      guard byte == UInt8(ascii: "\\") else {
        text.append(byte)
        continue
      }
      guard at < line.count else { break }
      let escape = line[at]
      at += 1
      switch escape {
      case UInt8(ascii: "n"): text.append(10)
      case UInt8(ascii: "t"): text.append(9)
      case UInt8(ascii: "0"): text.append(0)
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): text.append(escape)
      default:
        throw wrong(
          "no escape is '\\\(String(decoding: [escape], as: UTF8.self).harmless)': \\n \\t \\0 \\\" \\\\"
        )
      }
    }
    throw wrong("a text has no end")
  }
}
