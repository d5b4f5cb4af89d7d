// SPDX-License-Identifier: Apache-2.0

/// Each side's first frame.
package struct Greeting: Equatable, Sendable {
  /// What a side can do besides.
  package struct Abilities: OptionSet, Equatable, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }
    package static let interruptBySignal = Abilities(rawValue: 1)
    package static let interruptByMessage = Abilities(rawValue: 2)
    package static let sideLane = Abilities(rawValue: 4)
    package static let readsArena = Abilities(rawValue: 8)
    package static let readsInPlace = Abilities(rawValue: 16)
  }

  package var lowest = Wire.version
  package var highest = Wire.version
  package var abilities: Abilities = []
  /// MiB of each half of the arena: in the host's.
  package var arenaHalf: UInt32 = 0
  package var messageMax = Wire.messageMax
  package var name = ""

  package init() {}

  private static let fixedSize = 26

  /// The whole frame, header included.
  package func frame() -> [UInt8] {
    var payload: [UInt8] = []
    payload.appendLE(Wire.magic)
    payload.appendLE(lowest)
    payload.appendLE(highest)
    payload.appendLE(abilities.rawValue)
    payload.appendLE(arenaHalf)
    payload.appendLE(messageMax)
    let name = self.name.utf8.prefix(Wire.nameMax)
    payload.appendLE(UInt16(name.count))
    payload.append(contentsOf: name)
    var frame = [UInt8](repeating: 0, count: Wire.headerSize)
    frame.withUnsafeMutableBytes { FrameHeader(size: payload.count, kind: .hello).encode(to: $0) }
    return frame + payload
  }

  /// Reads the payload of a hello and checks that a common version exists.
  package init(decoding payload: UnsafeRawBufferPointer) throws(WireError) {
    guard payload.count >= Greeting.fixedSize,
      UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: 0, as: UInt32.self)) == Wire.magic
    else { throw .notAGreeting }
    lowest = UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    highest = UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    guard lowest <= Wire.version, highest >= Wire.version else {
      throw .noCommonVersion(lowest: lowest, highest: highest)
    }
    abilities = Abilities(
      rawValue: UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    arenaHalf = UInt32(
      littleEndian: payload.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    messageMax = UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    let size = Int(UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 24, as: UInt16.self)))
    guard size <= Wire.nameMax, payload.count == Greeting.fixedSize + size else {
      throw .notAGreeting
    }
    name = String(decoding: payload[Greeting.fixedSize...], as: UTF8.self)
  }
}
