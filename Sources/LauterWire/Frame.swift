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
}

/// How a worker broke the protocol.
package enum WireError: Error, Equatable, Sendable {
  case payloadTooLarge(UInt32)
  case unknownKind(UInt8)
  case unexpectedKind(FrameKind)
  case unknownFlags(UInt8)
  case notAGreeting
  case noCommonVersion(lowest: UInt16, highest: UInt16)
  case notReady
  case greetedTwice
  case headTooShort
  case tooManyParts(Int)
  case nameTooLong(Int)
  case nulInName
  case messageTooLarge
  case outOfMemory(UInt64)
  case sizesDoNotAddUp
  case tooManyUnfinished
  case unknownCall(UInt64)
  case repeatedCall(UInt64)
  case tooManyCalls(Int)

  /// What the worker did, as the end of a sentence that begins with "the worker broke the protocol:".
  package var description: String {
    switch self {
    case .payloadTooLarge(let size):
      "a frame of \(size) bytes, at most \(Wire.payloadMax) are allowed"
    case .unknownKind(let kind): "a frame of the unknown kind \(kind)"
    case .unexpectedKind(let kind): "a frame of kind \(kind.rawValue), which workers do not send"
    case .unknownFlags(let flags): "a frame with the unknown flags \(flags)"
    case .notAGreeting: "its first frame is not a greeting of this protocol"
    case .noCommonVersion(let lowest, let highest):
      "it speaks versions \(lowest) to \(highest), this library speaks \(Wire.version)"
    case .notReady: "a message before it was ready"
    case .greetedTwice: "it greeted twice"
    case .headTooShort: "a message whose head is cut short"
    case .tooManyParts(let count):
      "a message of \(count) parts, at most \(Wire.partsMax) are allowed"
    case .nameTooLong(let size): "a name of \(size) bytes, at most \(Wire.nameMax) are allowed"
    case .nulInName: "a name or media type with a NUL byte"
    case .messageTooLarge: "a message of more than 1 GiB"
    case .outOfMemory(let size): "a message of \(size) bytes, for which the host has no memory"
    case .sizesDoNotAddUp: "a message whose parts do not add up to its size"
    case .tooManyUnfinished: "more than \(Wire.unfinishedMax) unfinished messages"
    case .repeatedCall(let id): "a second call \(id) while the first waits for its answer"
    case .tooManyCalls(let most): "more than \(most) calls that wait for an answer"
    case .unknownCall(let id): "an answer to call \(id), which was never made"
    }
  }
}

/// The 16 bytes before each payload.
package struct FrameHeader: Equatable, Sendable {
  package var size: Int
  package var kind: FrameKind
  package var more: Bool
  package var slot: UInt16
  package var id: UInt64

  package init(size: Int, kind: FrameKind, more: Bool = false, slot: UInt16 = 0, id: UInt64 = 0) {
    self.size = size
    self.kind = kind
    self.more = more
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
    guard flags & ~Wire.more == 0 else { throw .unknownFlags(flags) }
    return (
      FrameHeader(
        size: Int(size), kind: kind, more: flags & Wire.more != 0,
        slot: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)),
        id: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))),
      Int(size)
    )
  }

  /// Writes the header to `out`, which has at least `Wire.headerSize` bytes.
  package func encode(to out: UnsafeMutableRawBufferPointer) {
    out.storeBytes(of: UInt32(size).littleEndian, toByteOffset: 0, as: UInt32.self)
    out[4] = kind.rawValue
    out[5] = more ? Wire.more : 0
    out.storeBytes(of: slot.littleEndian, toByteOffset: 6, as: UInt16.self)
    out.storeBytes(of: id.littleEndian, toByteOffset: 8, as: UInt64.self)
  }
}

extension [UInt8] {
  /// Appends an integer, little-endian.
  mutating func appendLE<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }
}
