// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// Where keys begin in a value, and which of them come twice, whatever lengths their encodings have.
///
/// Linear in the number of keys: by a table of hashes that the sender cannot foresee.
struct ValueKeys {
  enum Duplicate { case none, at(Int), noMemory }

  private(set) var count = 0
  private var offsets: UnsafeMutablePointer<UInt32>?
  private var capacity = 0

  /// Up to so many are compared each with each.
  private static let few = 8

  /// False if there is no memory.
  mutating func append(_ offset: Int) -> Bool {
    if count == capacity {
      let larger = max(2 * capacity, 64)
      guard let memory = lx_malloc(larger * 4) else { return false }
      if let offsets {
        memory.copyMemory(from: offsets, byteCount: count * 4)
        lx_free(offsets)
      }
      offsets = memory.assumingMemoryBound(to: UInt32.self)
      capacity = larger
    }
    offsets![count] = UInt32(truncatingIfNeeded: offset)
    count += 1
    return true
  }

  func free() { lx_free(offsets) }

  /// Of the keys from `first` on, which are forgotten, where the first one is that equals one before it.
  mutating func takeDuplicate(
    from first: Int, in bytes: UnsafeRawBufferPointer, _ seed: (UInt64, UInt64)
  ) -> Duplicate {
    let number = count - first
    guard number > 1, let offsets else {
      count = first
      return .none
    }
    count = first
    let keys = UnsafeBufferPointer(start: offsets + first, count: number)
    if number <= ValueKeys.few {
      for later in 1..<number {
        let key = ValueKey(bytes, Int(keys[later]))
        for earlier in 0..<later where key.equals(ValueKey(bytes, Int(keys[earlier])), bytes) {
          return .at(Int(keys[later]))
        }
      }
      return .none
    }
    var size = 16
    while size < 2 * number { size *= 2 }
    guard let memory = lx_malloc(size * 4) else { return .noMemory }
    defer { lx_free(memory) }
    // Offsets, and 1 added: 0 is an empty place.
    let table = memory.bindMemory(to: UInt32.self, capacity: size)
    table.initialize(repeating: 0, count: size)
    for offset in keys {
      let key = ValueKey(bytes, Int(offset))
      var place = Int(truncatingIfNeeded: key.hash(bytes, seed)) & (size - 1)
      while table[place] != 0 {
        if key.equals(ValueKey(bytes, Int(table[place] - 1)), bytes) { return .at(Int(offset)) }
        place = (place + 1) & (size - 1)
      }
      table[place] = offset + 1
    }
    return .none
  }
}

/// What a key that was checked says.
private struct ValueKey {
  /// 0 and 1: an integer, the negative one apart; 2: text; 3: binary; 4 and more: an extension.
  var kind: UInt64
  /// Of an integer.
  var number: UInt64 = 0
  /// Where the bytes of what is none begin, and how many they are.
  var from = 0
  var size = 0

  init(_ bytes: UnsafeRawBufferPointer, _ at: Int) {
    func read(_ from: Int, _ size: Int) -> UInt64 {
      var number: UInt64 = 0
      for index in from..<(from + size) { number = number << 8 | UInt64(bytes[index]) }
      return number
    }
    let code = bytes[at]
    switch code {
    case 0x00...0x7F:
      (kind, number) = (0, UInt64(code))
    case 0xE0...0xFF:
      (kind, number) = (1, UInt64(bitPattern: Int64(Int8(bitPattern: code))))
    case 0xCC...0xCF:
      (kind, number) = (0, read(at + 1, 1 << Int(code - 0xCC)))
    case 0xD0...0xD3:
      let size = 1 << Int(code - 0xD0)
      let shift = Int64(64 - 8 * size)
      let signed = Int64(bitPattern: read(at + 1, size) << UInt64(shift)) >> shift
      (kind, number) = (signed < 0 ? 1 : 0, UInt64(bitPattern: signed))
    case 0xA0...0xBF:
      (kind, from, size) = (2, at + 1, Int(code & 31))
    case 0xD9...0xDB, 0xC4...0xC6:
      let width = 1 << Int((code - (code < 0xD9 ? 0xC4 : 0xD9)))
      (kind, from, size) = (code < 0xD9 ? 3 : 2, at + 1 + width, Int(read(at + 1, width)))
    case 0xD4...0xD8:
      (kind, from, size) = (4 + UInt64(bytes[at + 1]), at + 2, 1 << Int(code - 0xD4))
    default:  // 0xC7...0xC9
      let width = 1 << Int(code - 0xC7)
      (kind, from) = (4 + UInt64(bytes[at + 1 + width]), at + 2 + width)
      size = Int(read(at + 1, width))
    }
  }

  func equals(_ other: ValueKey, _ bytes: UnsafeRawBufferPointer) -> Bool {
    guard kind == other.kind, number == other.number, size == other.size else { return false }
    for index in 0..<size where bytes[from + index] != bytes[other.from + index] { return false }
    return true
  }

  /// Without the seed nobody finds keys that fall together: integers by a product of 128 bits, others by SipHash-1-3
  /// (Aumasson and Bernstein, 2012).
  func hash(_ bytes: UnsafeRawBufferPointer, _ seed: (UInt64, UInt64)) -> UInt64 {
    if kind < 2 {
      let (high, low) = (number ^ seed.0).multipliedFullWidth(by: seed.1 | 1)
      return high ^ low
    }
    var state = SipState(seed)
    state.add(UInt64(size) << 16 | kind)
    var index = from
    let end = from + size
    while end - index >= 8 {
      state.add(bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      index += 8
    }
    var tail: UInt64 = 0
    while index < end {
      tail = tail << 8 | UInt64(bytes[index])
      index += 1
    }
    state.add(tail)
    return state.end()
  }
}

private struct SipState {
  private var a, b, c, d: UInt64

  init(_ seed: (UInt64, UInt64)) {
    a = seed.0 ^ 0x736F_6D65_7073_6575
    b = seed.1 ^ 0x646F_7261_6E64_6F6D
    c = seed.0 ^ 0x6C79_6765_6E65_7261
    d = seed.1 ^ 0x7465_6462_7974_6573
  }

  private mutating func round() {
    a &+= b
    c &+= d
    b = (b << 13 | b >> 51) ^ a
    d = (d << 16 | d >> 48) ^ c
    a = a << 32 | a >> 32
    c &+= b
    a &+= d
    b = (b << 17 | b >> 47) ^ c
    d = (d << 21 | d >> 43) ^ a
    c = c << 32 | c >> 32
  }

  mutating func add(_ word: UInt64) {
    d ^= word
    round()
    a ^= word
  }

  mutating func end() -> UInt64 {
    c ^= 0xFF
    for _ in 0..<3 { round() }
    return a ^ b ^ c ^ d
  }
}
