// SPDX-License-Identifier: Apache-2.0

/// JSON on one line. (A worker's stderr may hold any bytes: what is not UTF-8 is replaced.)
struct JSONText {
  private(set) var bytes: [UInt8] = []
  private var needsComma = false

  /// What comes next: a member with this name, or, for "", an element.
  @inline(never)
  private mutating func begin(_ name: StaticString) {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
    needsComma = true
    guard name.utf8CodeUnitCount > 0 else { return }
    string("\(name)")
    bytes.append(UInt8(ascii: ":"))
  }

  /// "{" or "[".
  @inline(never)
  mutating func open(_ bracket: Unicode.Scalar, _ name: StaticString = "") {
    begin(name)
    bytes.append(UInt8(ascii: bracket))
    needsComma = false
  }

  /// "}" or "]".
  @inline(never)
  mutating func close(_ bracket: Unicode.Scalar) {
    bytes.append(UInt8(ascii: bracket))
    needsComma = true
  }

  @inline(never)
  mutating func text(_ name: StaticString, _ value: String) {
    begin(name)
    string(value)
  }
  mutating func text(_ name: StaticString, _ value: UnsafePointer<CChar>?) {
    text(name, value.map { String(cString: $0) } ?? "")
  }
  mutating func number(_ name: StaticString, _ value: Int64) {
    begin(name)
    bytes += Array("\(value)".utf8)
  }
  mutating func flag(_ name: StaticString, _ value: Bool) {
    begin(name)
    bytes += Array((value ? "true" : "false").utf8)
  }
  /// What is JSON already.
  mutating func raw(_ name: StaticString, _ value: UnsafePointer<CChar>?) {
    begin(name)
    bytes += Array((value.map { String(cString: $0) } ?? "null").utf8)
  }
  mutating func null(_ name: StaticString) {
    begin(name)
    bytes += Array("null".utf8)
  }

  private mutating func string(_ value: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in value.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\n"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      case 0..<0x20, 0x7f:
        let digits = Array("0123456789abcdef".utf8)
        bytes += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
