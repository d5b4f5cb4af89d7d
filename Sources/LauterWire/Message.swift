// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// One part of a message, laid out as the C ABI's `lauter_part`.
package struct MessagePart {
  /// NUL-terminated media type.
  package var type: UnsafePointer<CChar>?
  package var data: UnsafeRawPointer?
  package var size: Int

  package init(type: UnsafePointer<CChar>?, data: UnsafeRawPointer?, size: Int) {
    self.type = type
    self.data = data
    self.size = size
  }
}

/// A message that arrived, in one block of memory of its own: the parts' table, the strings, the bytes.
///
/// Nothing in it refers to the worker's memory; everything in it was bounded before it was allocated.
package final class Message: @unchecked Sendable {  // immutable once complete
  package let kind: FrameKind
  package let id: UInt64
  package let parent: UInt64
  package let partCount: Int
  /// NUL-terminated.
  package let name: UnsafePointer<CChar>
  package let nameSize: Int
  private let block: UnsafeMutableRawBufferPointer
  /// Bytes of the parts that have arrived.
  private var filled = 0
  private let bodyOffset: Int
  package let bodySize: Int

  deinit { lx_free(block.baseAddress) }

  package var parts: UnsafeBufferPointer<MessagePart> {
    UnsafeBufferPointer(
      start: block.baseAddress!.assumingMemoryBound(to: MessagePart.self), count: partCount)
  }

  /// What the message costs in memory.
  package var cost: Int { block.count + 64 }

  /// Whether every byte has arrived.
  package var isComplete: Bool { filled == bodySize }

  /// The name as text, for the library's own verbs and for messages.
  package var nameText: String { String(cString: name) }

  private static let headSize = 16

  /// Reads the head at the beginning of a first frame's payload, and whatever of the parts follows it.
  ///
  /// - Parameter budget: the most bytes that the parts may have.
  package init(
    kind: FrameKind, id: UInt64, payload: UnsafeRawBufferPointer, budget: UInt64
  ) throws(WireError) {
    guard payload.count >= Message.headSize else { throw .headTooShort }
    let partCount = Int(
      UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 0, as: UInt16.self)))
    let nameSize = Int(
      UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    guard partCount <= Wire.partsMax else { throw .tooManyParts(partCount) }
    guard nameSize <= Wire.nameMax else { throw .nameTooLong(nameSize) }
    let parent = UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: 8, as: UInt64.self))

    // First pass: every length, so that the block is allocated once and bounded.
    var cursor = Message.headSize + nameSize
    var typesSize = 0
    var bodySize: UInt64 = 0
    for _ in 0..<partCount {
      guard cursor + 10 <= payload.count else { throw .headTooShort }
      let typeSize = Int(
        UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: cursor, as: UInt16.self)))
      guard typeSize <= Wire.nameMax else { throw .nameTooLong(typeSize) }
      let size = UInt64(
        littleEndian: payload.loadUnaligned(fromByteOffset: cursor + 2, as: UInt64.self))
      guard size <= budget, bodySize + size <= budget else { throw .messageTooLarge }
      if cursor + 10 + typeSize <= payload.count {
        try Message.refuseNul(payload, cursor + 10, typeSize)
      }
      bodySize += size
      typesSize += typeSize + 1
      cursor += 10 + typeSize
    }
    guard cursor <= payload.count else { throw .headTooShort }
    // A C reader would see another name than the worker sent.
    try Message.refuseNul(payload, Message.headSize, nameSize)

    let tableSize = partCount * MemoryLayout<MessagePart>.stride
    let bodyOffset = (tableSize + nameSize + 1 + typesSize + 15) & ~15
    // Not Swift's allocator: where memory is short it traps, and a worker chooses this size.
    let blockSize = bodyOffset + Int(bodySize)
    guard let memory = lx_malloc(blockSize) else { throw .outOfMemory(UInt64(blockSize)) }
    let block = UnsafeMutableRawBufferPointer(start: memory, count: blockSize)

    // Second pass: copy.
    var at = tableSize
    func copyText(_ from: Int, _ size: Int) -> UnsafePointer<CChar> {
      let start = block.baseAddress! + at
      if size > 0 {
        start.copyMemory(from: payload.baseAddress! + from, byteCount: size)
      }
      (start + size).storeBytes(of: 0, as: UInt8.self)
      at += size + 1
      return UnsafePointer(start.assumingMemoryBound(to: CChar.self))
    }
    let name = copyText(Message.headSize, nameSize)
    cursor = Message.headSize + nameSize
    var body = bodyOffset
    let table = block.baseAddress!.bindMemory(to: MessagePart.self, capacity: partCount)
    for index in 0..<partCount {
      let typeSize = Int(
        UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: cursor, as: UInt16.self)))
      let size = Int(
        UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: cursor + 2, as: UInt64.self)))
      let type = copyText(cursor + 10, typeSize)
      (table + index).initialize(
        to: MessagePart(type: type, data: UnsafeRawPointer(block.baseAddress! + body), size: size))
      body += size
      cursor += 10 + typeSize
    }

    self.kind = kind
    self.id = id
    self.parent = parent
    self.partCount = partCount
    self.name = name
    self.nameSize = nameSize
    self.block = block
    self.bodyOffset = bodyOffset
    self.bodySize = Int(bodySize)
    try append(UnsafeRawBufferPointer(rebasing: payload[cursor...]))
  }

  private static func refuseNul(
    _ payload: UnsafeRawBufferPointer, _ from: Int, _ size: Int
  ) throws(WireError) {
    for index in from..<(from + size) where payload[index] == 0 { throw .nulInName }
  }

  /// Adds what a further frame brought.
  package func append(_ bytes: UnsafeRawBufferPointer) throws(WireError) {
    guard bytes.count <= bodySize - filled else { throw .sizesDoNotAddUp }
    guard bytes.count > 0 else { return }
    (block.baseAddress! + bodyOffset + filled).copyMemory(
      from: bytes.baseAddress!, byteCount: bytes.count)
    filled += bytes.count
  }

  /// The head of a message to send.
  package static func head(
    name: UnsafeRawBufferPointer, parent: UInt64, parts: UnsafeBufferPointer<MessagePart>,
    typeSizes: (Int) -> Int
  ) -> [UInt8] {
    var head: [UInt8] = []
    head.reserveCapacity(headSize + name.count + parts.count * 32)
    head.appendLE(UInt16(parts.count))
    head.appendLE(UInt16(name.count))
    head.appendLE(UInt32(0))
    head.appendLE(parent)
    head.append(contentsOf: name)
    for index in 0..<parts.count {
      let size = typeSizes(index)
      head.appendLE(UInt16(size))
      head.appendLE(UInt64(parts[index].size))
      if size > 0 {
        head.append(
          contentsOf: UnsafeRawBufferPointer(start: parts[index].type, count: size))
      }
    }
    return head
  }
}
