// SPDX-License-Identifier: Apache-2.0

import LauterWire

extension [UInt8] {
  mutating func le<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
}

/// A frame, written from docs/protocol.md rather than by the code under test.
func frame(
  _ kind: UInt8, id: UInt64 = 0, flags: UInt8 = 0, slot: UInt16 = 0, size: UInt32? = nil,
  _ payload: [UInt8] = []
) -> [UInt8] {
  var out: [UInt8] = []
  out.le(size ?? UInt32(payload.count))
  out.append(kind)
  out.append(flags)
  out.le(slot)
  out.le(id)
  return out + payload
}

func head(
  _ name: [UInt8], parts: [(type: String, size: UInt64)], count: UInt16? = nil, parent: UInt64 = 0
) -> [UInt8] {
  var out: [UInt8] = []
  out.le(count ?? UInt16(parts.count))
  out.le(UInt16(name.count))
  out.le(UInt32(0))
  out.le(parent)
  out += name
  for part in parts {
    out.le(UInt16(part.type.utf8.count))
    out.le(part.size)
    out += part.type.utf8
  }
  return out
}

func hello(
  lowest: UInt16 = 1, highest: UInt16 = 1, magic: UInt32 = 0x5254_554C, name: String = "test",
  abilities: UInt32 = 1, arena: UInt32 = 0
)
  -> [UInt8]
{
  var out: [UInt8] = []
  out.le(magic)
  out.le(lowest)
  out.le(highest)
  out.le(abilities)
  out.le(arena)
  out.le(UInt64(1 << 30))
  out.le(UInt16(name.utf8.count))
  return frame(1, out + name.utf8)
}

/// What arrived, as plain values.
enum Got: Equatable {
  case hello(String)
  case ready
  case message(FrameKind, UInt64, String, [[UInt8]], [String])
  case other
}

/// Feeds `bytes` to a fresh inbox in pieces of `step` bytes.
func receive(_ bytes: [UInt8], step: Int = .max) throws -> [Got] {
  var inbox = Inbox()
  var got: [Got] = []
  var rest = bytes[...]
  while !rest.isEmpty {
    let piece = Array(rest.prefix(step))
    rest = rest.dropFirst(step)
    try piece.withUnsafeBytes { (bytes) in
      try inbox.feed(bytes) { (_, _) throws(WireError) in
        .keep
      } deliver: { (arrival) throws(WireError) in
        switch arrival {
        case .hello(let greeting): got.append(.hello(greeting.name))
        case .ready: got.append(.ready)
        case .message(let message):
          got.append(
            .message(
              message.kind, message.id, message.nameText,
              message.parts.map { Array(UnsafeRawBufferPointer(start: $0.data, count: $0.size)) },
              message.parts.map { String(cString: $0.type!) }))
        default: got.append(.other)
        }
        return true
      }
    }
  }
  return got
}

func breach(_ bytes: [UInt8]) -> WireError? {
  do {
    _ = try receive(bytes)
    return nil
  } catch {
    return error as? WireError
  }
}
