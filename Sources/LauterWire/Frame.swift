// SPDX-License-Identifier: Apache-2.0

/// The kinds of frame, as docs/protocol.md numbers them.
package enum FrameKind: UInt8, Sendable {
  case hello = 1
  case ready = 2
  case call = 3
  case output = 4
  case result = 5
  case failure = 6
  case stop = 8
  case interrupt = 9
  case release = 10
  case open = 16
  case data = 17
  case credit = 18
  case end = 19
  case cancel = 20
  case need = 21

  /// Whether the receiver's own doing brings it about: there is no end to these if it does not read them.
  package var isResponse: Bool {
    switch self {
    case .result, .failure, .release, .credit, .cancel: true
    default: false
    }
  }
}

/// Bounds and numbers of the protocol.
package enum Wire {
  package static let version: UInt16 = 1
  package static let magic: UInt32 = 0x5254_554C
  package static let headerSize = 16
  package static let payloadMax = 65_536
  package static let partsMax = 256
  package static let nameMax = 255
  package static let messageMax: UInt64 = 1 << 30
  /// Messages of a worker that began and have not ended.
  package static let unfinishedMax = 64
  package static let more: UInt8 = 1
  package static let placed: UInt8 = 2
  /// What a data message takes of a channel's credit besides its size.
  package static let dataCost: UInt64 = 64
  /// Credit that a channel can have at a time.
  package static let creditMax: UInt64 = (1 << 30) + (1 << 17)
  /// Channels of a worker that are not over.
  package static let channelsMax = 1024
  /// Places in one frame.
  package static let placesMax = payloadMax / Place.encodedSize
  /// Bytes of all places of one frame, unless it is a whole part that is read in place.
  package static let placedMax: UInt64 = 1 << 20
  /// What is smaller goes in line: there it is faster.
  package static let placedLeast = 1 << 16
  /// What a large message places at once: little enough to stay in a processor's cache until it is copied.
  package static let piece = 1 << 18
}

/// The 16 bytes before each payload.
package struct FrameHeader: Equatable, Sendable {
  package var size: Int
  package var kind: FrameKind
  package var more: Bool
  package var placed = false
  package var slot: UInt16
  package var id: UInt64

  package init(
    size: Int, kind: FrameKind, more: Bool = false, placed: Bool = false, slot: UInt16 = 0,
    id: UInt64 = 0
  ) {
    self.size = size
    self.kind = kind
    self.more = more
    self.placed = placed
    self.slot = slot
    self.id = id
  }

  /// Reads a header, nil for a reserved kind that is to be passed over.
  ///
  /// - Parameter bytes: at least `Wire.headerSize` bytes.
  package static func decode(
    _ bytes: UnsafeRawBufferPointer
  ) throws(WireError) -> (header: FrameHeader?, size: Int) {
    let size = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    guard size <= UInt32(Wire.payloadMax) else { throw .payloadTooLarge(size) }
    let code = bytes[4]
    guard let kind = FrameKind(rawValue: code) else {
      guard code > 31 else { throw .unknownKind(code) }
      return (nil, Int(size))
    }
    let flags = bytes[5]
    guard flags & ~(Wire.more | Wire.placed) == 0 else { throw .unknownFlags(flags) }
    return (
      FrameHeader(
        size: Int(size), kind: kind, more: flags & Wire.more != 0,
        placed: flags & Wire.placed != 0,
        slot: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)),
        id: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))),
      Int(size)
    )
  }

  /// Writes the header to `out`, which has at least `Wire.headerSize` bytes.
  package func encode(to out: UnsafeMutableRawBufferPointer) {
    out.storeBytes(of: UInt32(size).littleEndian, toByteOffset: 0, as: UInt32.self)
    out[4] = kind.rawValue
    out[5] = (more ? Wire.more : 0) | (placed ? Wire.placed : 0)
    out.storeBytes(of: slot.littleEndian, toByteOffset: 6, as: UInt16.self)
    out.storeBytes(of: id.littleEndian, toByteOffset: 8, as: UInt64.self)
  }
}

extension [UInt8] {
  /// Appends an integer, little-endian.
  package mutating func appendLE<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }
}
