// SPDX-License-Identifier: Apache-2.0

extension JSON {
  /// The value as nbformat writes a notebook: sorted members, one space a level, text as it is but for what JSON
  /// must escape.
  func written() -> [UInt8] {
    var writer = JSONWriter()
    writer.value(self, level: 0)
    return writer.bytes
  }
}

private struct JSONWriter {
  var bytes: [UInt8] = []

  mutating func put(_ text: StaticString) {
    text.withUTF8Buffer { bytes.append(contentsOf: $0) }
  }

  mutating func line(level: Int) {
    bytes.append(UInt8(ascii: "\n"))
    for _ in 0..<level { bytes.append(UInt8(ascii: " ")) }
  }

  mutating func value(_ value: JSON, level: Int) {
    switch value {
    case .null: put("null")
    case .bool(let value): value ? put("true") : put("false")
    case .number(let spelling): bytes.append(contentsOf: spelling.utf8)
    case .string(let text): string(text)
    case .torn(_, let spelling):
      put("\"")
      bytes.append(contentsOf: spelling.utf8)
      put("\"")
    case .array(let elements):
      if elements.isEmpty { return put("[]") }
      put("[")
      for (index, element) in elements.enumerated() {
        if index > 0 { put(",") }
        line(level: level + 1)
        self.value(element, level: level + 1)
      }
      line(level: level)
      put("]")
    case .object(let object):
      if object.members.isEmpty { return put("{}") }
      put("{")
      for (index, member) in object.sorted.enumerated() {
        if index > 0 { put(",") }
        line(level: level + 1)
        string(member.name)
        put(": ")
        self.value(member.value, level: level + 1)
      }
      line(level: level)
      put("}")
    }
  }

  mutating func string(_ text: String) {
    put("\"")
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): put("\\\"")
      case UInt8(ascii: "\\"): put("\\\\")
      case 0x0A: put("\\n")
      case 0x0D: put("\\r")
      case 0x09: put("\\t")
      case 0x08: put("\\b")
      case 0x0C: put("\\f")
      case 0..<0x20:
        put("\\u00")
        for digit in [byte >> 4, byte & 15] {
          bytes.append(digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10))
        }
      default: bytes.append(byte)
      }
    }
    put("\"")
  }
}
