// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// Where and how bytes break the value format (docs/values.md).
package struct ValueError: Error, Equatable, Sendable {
  /// Of the item that is broken, in the first part.
  package var offset: Int
  package var reason: String

  package init(offset: Int, reason: String) {
    self.offset = offset
    self.reason = reason
  }
}

/// Bounds of the value format.
package enum Value {
  package static let depthMax = 64
  package static let itemsMax = 1 << 24
  package static let bytesMax: UInt64 = 1 << 30

  /// Looks at every byte once; what it lets through each decoder takes.
  ///
  /// Its memory is 4 bytes for each key of the maps and sets around it, and at most 16 more for each of the one that ends.
  ///
  /// - Parameters:
  ///   - parts: the value, then the data of its arrays. Their media types are not looked at.
  ///   - seed: what the sender cannot know, or it chooses keys that make the search for duplicates slow.
  package static func check(
    _ parts: UnsafeBufferPointer<MessagePart>, seed: (UInt64, UInt64)
  ) throws(ValueError) {
    guard parts.count > 0 else { throw ValueError(offset: 0, reason: "no value") }
    var reader = ValueReader(parts, seed)
    defer { reader.keys.free() }
    try reader.whole()
  }
}

private struct ValueReader {
  let bytes: UnsafeRawBufferPointer
  let parts: UnsafeBufferPointer<MessagePart>
  var at = 0
  /// Of the innermost extension, or of the value.
  var end: Int
  var items = 0
  /// The part that the next array out of line has to name.
  var part = 1
  /// Where the keys of the maps and sets begin that have not ended, the innermost's last.
  var keys = ValueKeys()
  let seed: (UInt64, UInt64)

  init(_ parts: UnsafeBufferPointer<MessagePart>, _ seed: (UInt64, UInt64)) {
    self.parts = parts
    self.seed = seed
    bytes = UnsafeRawBufferPointer(start: parts[0].data, count: parts[0].size)
    end = bytes.count
  }

  mutating func whole() throws(ValueError) {
    guard UInt64(end) <= Value.bytesMax else { try fail(0, "more than 1 GiB") }
    try value(0)
    guard at == end else { try fail(at, "bytes after the value") }
    guard part == parts.count else { try fail(at, "a part that no array refers to") }
  }

  func fail(_ offset: Int, _ reason: String) throws(ValueError) -> Never {
    throw ValueError(offset: offset, reason: reason)
  }

  /// An unsigned integer, big-endian, that lies in bounds.
  func number(_ from: Int, _ size: Int) -> UInt64 {
    var number: UInt64 = 0
    for index in from..<(from + size) { number = number << 8 | UInt64(bytes[index]) }
    return number
  }

  func signed(_ from: Int, _ size: Int) -> Int64 {
    let shift = UInt64(64 - 8 * size)
    return Int64(bitPattern: number(from, size) << shift) >> Int64(shift)
  }

  /// Steps over `size` bytes and says where they began.
  mutating func take(_ size: Int, of start: Int) throws(ValueError) -> Int {
    guard size <= end - at else { try fail(start, "cut short") }
    let from = at
    at += size
    return from
  }

  /// A length or count of `size` bytes.
  mutating func length(_ size: Int, of start: Int) throws(ValueError) -> Int {
    Int(number(try take(size, of: start), size))
  }

  /// Checks one item with all that is in it; true if it may be a key. The recursion is bounded by `Value.depthMax`.
  @discardableResult
  mutating func value(_ depth: Int, isSet: Bool = false) throws(ValueError) -> Bool {
    let start = at
    items += 1
    guard items <= Value.itemsMax else { try fail(start, "more than 16777216 items") }
    let code = bytes[try take(1, of: start)]
    switch code {
    case 0x00...0x7F, 0xE0...0xFF: return true
    case 0x80...0x8F: try map(Int(code & 15), start, depth)
    case 0x90...0x9F: try array(Int(code & 15), start, depth, isSet)
    case 0xA0...0xBF: return try text(Int(code & 31), start)
    case 0xC0, 0xC2, 0xC3: break
    case 0xC4...0xC6:
      _ = try take(try length(1 << Int(code - 0xC4), of: start), of: start)
      return true
    case 0xC7...0xC9:
      return try extended(try length(1 << Int(code - 0xC7), of: start), start, depth)
    case 0xCA, 0xCB: _ = try take(code == 0xCA ? 4 : 8, of: start)
    case 0xCC...0xD3:
      _ = try take(1 << Int(code & 3), of: start)
      return true
    case 0xD4...0xD8: return try extended(1 << Int(code - 0xD4), start, depth)
    case 0xD9...0xDB: return try text(try length(1 << Int(code - 0xD9), of: start), start)
    case 0xDC, 0xDD: try array(try length(code == 0xDC ? 2 : 4, of: start), start, depth, isSet)
    case 0xDE, 0xDF: try map(try length(code == 0xDE ? 2 : 4, of: start), start, depth)
    default: try fail(start, "no item begins with this byte")
    }
    return false
  }

  mutating func array(
    _ count: Int, _ start: Int, _ depth: Int, _ isSet: Bool
  ) throws(ValueError) {
    try enter(depth, start)
    // Each item has a byte at least: a count that lies is found before anything is counted.
    guard count <= end - at else { try fail(start, "cut short") }
    let first = keys.count
    for _ in 0..<count {
      if isSet { try key(depth) } else { try value(depth + 1) }
    }
    if isSet { try distinct(from: first) }
  }

  mutating func map(_ count: Int, _ start: Int, _ depth: Int) throws(ValueError) {
    try enter(depth, start)
    guard count <= (end - at) / 2 else { try fail(start, "cut short") }
    let first = keys.count
    for _ in 0..<count {
      try key(depth)
      try value(depth + 1)
    }
    try distinct(from: first)
  }

  func enter(_ depth: Int, _ start: Int) throws(ValueError) {
    guard depth < Value.depthMax else { try fail(start, "nested more than 64 deep") }
  }

  mutating func key(_ depth: Int) throws(ValueError) {
    let start = at
    guard try value(depth + 1) else { try fail(start, "neither a key nor an element of a set") }
    guard keys.append(start) else { try fail(start, "no memory to look for keys that come twice") }
  }

  /// Refuses keys that come twice, and forgets them.
  mutating func distinct(from first: Int) throws(ValueError) {
    switch keys.takeDuplicate(from: first, in: bytes, seed) {
    case .none: break
    case .at(let offset): try fail(offset, "a key or element that came before")
    case .noMemory: try fail(at, "no memory to look for keys that come twice")
    }
  }

  mutating func text(_ size: Int, _ start: Int) throws(ValueError) -> Bool {
    var index = try take(size, of: start)
    while index < at {
      let first = bytes[index]
      index += 1
      if first < 0x80 { continue }
      let more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1
      guard first >= 0xC2, first <= 0xF4, more <= at - index else { try fail(start, "not UTF-8") }
      let second = bytes[index]
      // Overlong forms, surrogates, and what lies beyond U+10FFFF.
      let low: UInt8 = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80
      let high: UInt8 = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF
      guard second >= low, second <= high else { try fail(start, "not UTF-8") }
      for further in (index + 1)..<(index + more) where bytes[further] & 0xC0 != 0x80 {
        try fail(start, "not UTF-8")
      }
      index += more
    }
    return true
  }
}

extension ValueReader {
  /// An extension of `size` bytes, whose type comes first; true if it may be a key.
  fileprivate mutating func extended(
    _ size: Int, _ start: Int, _ depth: Int
  ) throws(ValueError) -> Bool {
    let type = bytes[try take(1, of: start)]
    let from = try take(size, of: start)
    let fits: Bool
    switch type {
    case 1: fits = isBig(from, size)
    case 2: fits = isDecimal(from, size)
    case 3: fits = size == 4 && isDay(from)
    case 4: fits = size == 8 && isTime(from)
    case 5: fits = size == 12 && isDay(from) && isTime(from + 4)
    case 6: fits = size >= 16 && size <= 80 && isDay(from) && isTime(from + 4) && isZone(from, size)
    case 7:
      let seconds = size == 12 ? signed(from, 8) : .min
      fits =
        seconds >= -86_399_999_913_600 && seconds <= 86_399_999_999_999
        && number(from + 8, 4) < 1_000_000_000
    case 8, 9: fits = size == 16
    case 10, 11:
      try enter(depth, start)
      let code = size > 0 ? bytes[from] : 0
      fits = code & 0xF0 == 0x90 || code == 0xDC || code == 0xDD
      if fits {
        let outer = end
        end = at
        at = from
        try value(depth + 1, isSet: type == 11)
        guard at == end else { try fail(start, "bytes after the value") }
        end = outer
      }
    case 12: fits = try isArray(from, size, start)
    case 0xFF: fits = isTimestamp(from, size)
    default: try fail(start, "an extension of an unknown type")
    }
    guard fits else { try fail(start, "an extension that is not of its type's form") }
    return type == 1 || type == 3 || type == 8
  }

  /// Two's complement, without a byte too many, and no integer that MessagePack has.
  private func isBig(_ from: Int, _ size: Int) -> Bool {
    guard size >= 9, size <= 65_536 else { return false }
    let isNegative = bytes[from + 1] >= 0x80
    switch bytes[from] {
    case 0x00: return isNegative && size > 9
    case 0xFF: return !isNegative
    default: return true
    }
  }

  private func isDecimal(_ from: Int, _ size: Int) -> Bool {
    guard size >= 5 else { return false }
    let exponent = signed(from, 4)
    guard exponent >= -999_999, exponent <= 999_999 else { return false }
    let first = from + (bytes[from + 4] == 0x2D ? 5 : 4)
    let count = from + size - first
    guard count >= 1, count <= 4_096, count == 1 || bytes[first] != 0x30 else { return false }
    for index in first..<(from + size) where bytes[index] < 0x30 || bytes[index] > 0x39 {
      return false
    }
    return true
  }

  /// The years 1 to 9999, which every language's calendar has.
  private func isDay(_ from: Int) -> Bool {
    let day = signed(from, 4)
    return day >= -719_162 && day <= 2_932_896
  }

  /// MessagePack's own, in the years 1 to 9999.
  private func isTimestamp(_ from: Int, _ size: Int) -> Bool {
    switch size {
    case 4: return true
    case 8: return number(from, 8) >> 34 < 1_000_000_000
    case 12:
      let seconds = signed(from + 4, 8)
      return number(from, 4) < 1_000_000_000 && seconds >= -62_135_596_800
        && seconds < 253_402_300_800
    default: return false
    }
  }

  private func isTime(_ from: Int) -> Bool { number(from, 8) < 86_400_000_000_000 }

  private func isZone(_ from: Int, _ size: Int) -> Bool {
    let offset = signed(from + 12, 4)
    guard offset > -86_400, offset < 86_400, size == 16 || bytes[from + 16] != 0x2F else {
      return false
    }
    for index in (from + 16)..<(from + size) {
      switch bytes[index] {
      case 0x2B, 0x2D, 0x2F, 0x30...0x39, 0x41...0x5A, 0x5F, 0x61...0x7A: continue
      default: return false
      }
    }
    return true
  }

  /// The size in bytes of an array's elements by their type's number; 0 for no type.
  private func itemSize(_ type: UInt8) -> UInt64 {
    switch type {
    case 1, 2, 6: 1
    case 3, 7, 10: 2
    case 4, 8, 11: 4
    case 5, 9, 12, 13, 15...24: 8
    case 14: 16
    default: 0
    }
  }

  private mutating func isArray(_ from: Int, _ size: Int, _ start: Int) throws(ValueError) -> Bool {
    guard size >= 7 else { return false }
    let item = itemSize(bytes[from])
    let order = bytes[from + 1]
    let rank = Int(bytes[from + 2])
    guard item > 0, order <= (rank > 1 ? 1 : 0), rank <= 32, size >= 7 + 8 * rank else {
      return false
    }
    // Without the zeros, which would hide an overflow in whoever multiplies strides.
    var extent = item
    var isEmpty = false
    for axis in 0..<rank {
      let length = number(from + 3 + 8 * axis, 8)
      guard length <= Value.bytesMax else { try fail(start, "an array of more than 1 GiB") }
      isEmpty = isEmpty || length == 0
      extent *= max(length, 1)
      guard extent <= Value.bytesMax else { try fail(start, "an array of more than 1 GiB") }
    }
    let needed = isEmpty ? 0 : Int(extent)
    let place = from + 3 + 8 * rank
    let index = Int(number(place, 4))
    var data = UnsafeRawBufferPointer(rebasing: bytes[(place + 4)..<(from + size)])
    if index != 0 {
      guard index == part, index < parts.count, data.isEmpty else {
        try fail(start, "not the next part, or none")
      }
      data = UnsafeRawBufferPointer(start: parts[index].data, count: parts[index].size)
      part += 1
    }
    guard data.count == needed else { try fail(start, "data of another size than the shape's") }
    if bytes[from] == 1 {
      for byte in data where byte > 1 { try fail(start, "a boolean that is neither 0 nor 1") }
    }
    return true
  }
}
