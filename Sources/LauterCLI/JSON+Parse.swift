// SPDX-License-Identifier: Apache-2.0

/// Why some bytes are not JSON, and where.
struct JSONError: Error, Equatable {
  /// In bytes from the beginning.
  var offset: Int
  var line: Int
  var column: Int
  var message: String
}

extension JSON {
  /// Deeper nesting is refused: what parses a worker's words must not run out of stack.
  static let deepest = 500

  /// Parse one value.
  ///
  /// - Parameter asPython: whether to read what Python writes beyond JSON proper, and a notebook may therefore hold:
  ///   `NaN`, `Infinity`, `-Infinity`, and half a surrogate pair, which is kept. Without it such a half becomes U+FFFD.
  init(parsing bytes: [UInt8], asPython: Bool = false) throws(JSONError) {
    var parser = JSONParser(bytes: bytes, asPython: asPython)
    self = try parser.document()
  }
}

private struct JSONParser {
  let bytes: [UInt8]
  let asPython: Bool
  var offset = 0
  /// Whether the last string read had half a surrogate pair in it.
  private var isTorn = false

  init(bytes: [UInt8], asPython: Bool) {
    self.bytes = bytes
    self.asPython = asPython
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
  }

  mutating func document() throws(JSONError) -> JSON {
    let result = try value(depth: 0)
    skipSpace()
    if offset < bytes.count { throw error("something follows the end of the value") }
    return result
  }

  /// An error at the current offset.
  func error(_ message: String) -> JSONError {
    var (line, column) = (1, 1)
    for byte in bytes.prefix(offset) {
      if byte == UInt8(ascii: "\n") {
        line += 1
        column = 1
      } else if byte & 0xC0 != 0x80 {
        column += 1
      }
    }
    return JSONError(offset: offset, line: line, column: column, message: message)
  }

  var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  mutating func skipSpace() {
    while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }

  /// Skip `byte` if it comes next.
  mutating func skip(_ byte: Character) -> Bool {
    guard current == byte.asciiValue else { return false }
    offset += 1
    return true
  }

  mutating func skip(word: StaticString) -> Bool {
    word.withUTF8Buffer { word in
      guard bytes[offset...].starts(with: word) else { return false }
      offset += word.count
      return true
    }
  }

  mutating func value(depth: Int) throws(JSONError) -> JSON {
    guard depth <= JSON.deepest else { throw error("more than \(JSON.deepest) levels deep") }
    skipSpace()
    guard let byte = current else { throw error("the text ends where a value should be") }
    switch byte {
    case UInt8(ascii: "{"): return .object(try object(depth: depth))
    case UInt8(ascii: "["): return .array(try array(depth: depth))
    case UInt8(ascii: "\""):
      let start = offset + 1
      let text = try string()
      guard isTorn, asPython else { return .string(text) }
      return .torn(text, spelling: String(decoding: bytes[start..<offset - 1], as: UTF8.self))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
    default:
      if skip(word: "true") { return .bool(true) }
      if skip(word: "false") { return .bool(false) }
      if skip(word: "null") { return .null }
      if asPython, skip(word: "NaN") { return .number("NaN") }
      if asPython, skip(word: "Infinity") { return .number("Infinity") }
      throw error("no value begins like this")
    }
  }

  mutating func object(depth: Int) throws(JSONError) -> JSON.Object {
    offset += 1
    var result = JSON.Object()
    skipSpace()
    if skip("}") { return result }
    while true {
      skipSpace()
      guard current == UInt8(ascii: "\"") else { throw error("a member's name should be here") }
      let name = try string()
      // Two such names could become one.
      if isTorn, asPython { throw error("the name before holds half a surrogate pair") }
      skipSpace()
      guard skip(":") else { throw error("a colon should be here") }
      result.members.append(.init(name: name, value: try value(depth: depth + 1)))
      skipSpace()
      if skip("}") { return result }
      guard skip(",") else { throw error("a comma or a closing brace should be here") }
    }
  }

  mutating func array(depth: Int) throws(JSONError) -> [JSON] {
    offset += 1
    var result: [JSON] = []
    skipSpace()
    if skip("]") { return result }
    while true {
      result.append(try value(depth: depth + 1))
      skipSpace()
      if skip("]") { return result }
      guard skip(",") else { throw error("a comma or a closing bracket should be here") }
    }
  }

  mutating func number() throws(JSONError) -> String {
    let start = offset
    let negative = skip("-")
    if negative, asPython, skip(word: "Infinity") { return "-Infinity" }
    if !skip("0") { try digits() }
    if skip(".") { try digits() }
    if skip("e") || skip("E") {
      if !skip("+") { _ = skip("-") }
      try digits()
    }
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  mutating func digits() throws(JSONError) {
    let start = offset
    while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
    if offset == start { throw error("a digit should be here") }
  }

  mutating func string() throws(JSONError) -> String {
    offset += 1
    isTorn = false
    var text: [UInt8] = []
    var start = offset
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        text += bytes[start..<offset]
        guard let result = String(validating: text, as: UTF8.self) else {
          throw error("the string before is not UTF-8")
        }
        offset += 1
        return result
      case UInt8(ascii: "\\"):
        text += bytes[start..<offset]
        offset += 1
        text += String(try escape()).utf8
        start = offset
      case 0..<0x20: throw error("a control character stands in a string")
      default: offset += 1
      }
    }
    throw error("the text ends within a string")
  }

  mutating func escape() throws(JSONError) -> Unicode.Scalar {
    guard let byte = current else { throw error("the text ends within a string") }
    offset += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "u"):
      let unit = try codeUnit()
      guard UTF16.isLeadSurrogate(unit) else {
        if let scalar = Unicode.Scalar(unit) { return scalar }
        isTorn = true
        return "\u{fffd}"
      }
      let before = offset
      if skip(word: "\\u") {
        let trail = try codeUnit()
        if UTF16.isTrailSurrogate(trail) {
          let scalar = 0x10000 + (UInt32(unit & 0x3FF) << 10 | UInt32(trail & 0x3FF))
          return Unicode.Scalar(scalar) ?? "\u{fffd}"
        }
      }
      // Half a pair, which no UTF-8 can hold: what follows is read on its own.
      isTorn = true
      offset = before
      return "\u{fffd}"
    default:
      offset -= 1
      throw error("no such escape")
    }
  }

  mutating func codeUnit() throws(JSONError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("four hexadecimal digits should be here")
      }
      unit = unit << 4 | UInt16(digit)
      offset += 1
    }
    return unit
  }
}
