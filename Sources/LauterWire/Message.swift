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

/// What becomes of a message's parts.
package enum Admission {
  /// They are kept.
  case keep
  /// They are put into this memory, one after the other, if it is large enough; else kept. It stays its owner's, who
  /// says `Inbox.letGo` before it goes.
  case into(UnsafeMutableRawBufferPointer)
  /// Nobody wants them.
  case drop
}

/// A message that arrived, in memory of its own: the parts' table, the strings, the bytes.
///
/// Everything in it was bounded before it was allocated. Nothing in it refers to the worker's memory, but parts that are
/// read in place.
package final class Message: @unchecked Sendable {  // immutable once complete
  package let kind: FrameKind
  package let id: UInt64
  package let lane: UInt32
  package let parent: UInt64
  /// Of a host's call: its entry in the control page.
  package internal(set) var slot: UInt16 = 0
  package let partCount: Int
  /// NUL-terminated.
  package let name: UnsafePointer<CChar>
  package let nameSize: Int
  private let block: UnsafeMutableRawBufferPointer
  /// Where the parts go; nil: nowhere.
  private var body: UnsafeMutableRawPointer?
  /// Whether `body` is memory beside the block, and ours.
  private let ownsBody: Bool
  /// Bytes of the parts that have arrived.
  private var filled = 0
  package let bodySize: Int
  /// Of the head and the parts, as they went over the wire.
  package let payloadSize: Int
  /// Whether parts in the arena may be left there: not if they were wished elsewhere.
  private var readsInPlace: Bool
  /// Parts that lie in the arena.
  private var keepers: [PlaceKeeper] = []

  deinit {
    if ownsBody, let body { lx_large_free(body, bodySize) }
    lx_free(block.baseAddress)
  }

  private var table: UnsafeMutablePointer<MessagePart> {
    block.baseAddress!.assumingMemoryBound(to: MessagePart.self)
  }

  package var parts: UnsafeBufferPointer<MessagePart> {
    UnsafeBufferPointer(start: table, count: partCount)
  }

  /// What the message costs in memory.
  package var cost: Int { block.count + (ownsBody ? bodySize : 0) + 64 }

  /// Whether every byte has arrived.
  package var isComplete: Bool { filled == bodySize }

  /// The name as text, for the library's own verbs and for messages.
  package var nameText: String { String(cString: name) }

  private static let headSize = 16
  /// Bodies from here on have memory of their own.
  static let large = 1 << 22

  /// Reads the head at the beginning of a first frame's payload, and whatever of the parts follows it.
  ///
  /// - Parameters:
  ///   - budget: the most bytes that the parts may have.
  ///   - admit: asked with the size of head and parts, before anything is allocated.
  package init(
    kind: FrameKind, id: UInt64, payload: UnsafeRawBufferPointer, budget: UInt64,
    admit: (Int) throws(WireError) -> Admission
  ) throws(WireError) {
    guard payload.count >= Message.headSize else { throw .headTooShort }
    let partCount = Int(
      UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 0, as: UInt16.self)))
    let nameSize = Int(
      UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    guard partCount <= Wire.partsMax else { throw .tooManyParts(partCount) }
    guard nameSize <= Wire.nameMax else { throw .nameTooLong(nameSize) }
    lane = UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    parent = UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: 8, as: UInt64.self))

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
    var blockSize = (tableSize + nameSize + 1 + typesSize + 15) & ~15
    var within: Int?
    var body: UnsafeMutableRawPointer?
    var ownsBody = false
    var readsInPlace = false
    switch try admit(cursor + Int(bodySize)) {
    case .drop: break
    case .into(let memory) where memory.count >= Int(bodySize) && bodySize > 0:
      body = memory.baseAddress
    case .keep, .into:
      readsInPlace = true
      if bodySize >= Message.large {
        body = lx_large_alloc(Int(bodySize))
        guard body != nil else { throw .outOfMemory(bodySize) }
        ownsBody = true
      } else {
        within = blockSize
        blockSize += Int(bodySize)
      }
    }
    // Not Swift's allocator: where memory is short it traps, and a worker chooses this size.
    guard let memory = lx_malloc(blockSize) else {
      if ownsBody, let body { lx_large_free(body, Int(bodySize)) }
      throw .outOfMemory(UInt64(blockSize))
    }
    let block = UnsafeMutableRawBufferPointer(start: memory, count: blockSize)
    if let within { body = memory + within }

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
    var offset = 0
    let table = block.baseAddress!.bindMemory(to: MessagePart.self, capacity: partCount)
    for index in 0..<partCount {
      let typeSize = Int(
        UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: cursor, as: UInt16.self)))
      let size = Int(
        UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: cursor + 2, as: UInt64.self)))
      let type = copyText(cursor + 10, typeSize)
      (table + index).initialize(
        to: MessagePart(type: type, data: body.map { UnsafeRawPointer($0 + offset) }, size: size))
      offset += size
      cursor += 10 + typeSize
    }

    self.kind = kind
    self.id = id
    self.partCount = partCount
    self.name = name
    self.nameSize = nameSize
    self.block = block
    self.body = body
    self.ownsBody = ownsBody
    self.readsInPlace = readsInPlace
    self.bodySize = Int(bodySize)
    payloadSize = cursor + Int(bodySize)
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
    if let body { (body + filled).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count) }
    filled += bytes.count
  }

  /// Adds what lies in the arena.
  ///
  /// - Returns: how much of it was copied; nil if it is read in place, and comes back by `reader.returns`.
  func append(_ places: [Place], _ reader: ArenaReader) throws(WireError) -> Int? {
    // At most 4,096 places of at most half an arena: no sum overflows.
    var total: UInt64 = 0
    for place in places {
      try reader.check(place)
      total += place.size
    }
    if let returns = reader.returns, places.count == 1, let part = wholePart(places[0]) {
      if readsInPlace {
        table[part].data = UnsafeRawPointer(reader.map.bytes(places[0]).baseAddress)
        keepers.append(PlaceKeeper(places[0], reader, returns))
        filled += Int(total)
        return nil
      }
    } else if total > Wire.placedMax {
      throw .placesTooLarge(total)
    }
    guard Int(total) <= bodySize - filled else { throw .sizesDoNotAddUp }
    for place in places {
      let bytes = reader.map.bytes(place)
      if let body {
        // What is large is looked at later, if at all; the arena's pieces had better stay in the cache.
        if bodySize >= Message.large {
          lx_copy_past_cache(body + filled, bytes.baseAddress, bytes.count)
        } else {
          (body + filled).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
        }
      }
      filled += bytes.count
    }
    return Int(total)
  }

  /// The part of which nothing has arrived and whose size the place has.
  private func wholePart(_ place: Place) -> Int? {
    var begin = 0
    for index in 0..<partCount where begin <= filled {
      let size = table[index].size
      if begin == filled, size > 0 { return UInt64(size) == place.size ? index : nil }
      begin += size
    }
    return nil
  }

  /// Forgets the parts, and lets go of memory that is not its own.
  func letGo() {
    readsInPlace = false
    if !ownsBody { body = nil }
  }

  /// Bytes of a head without a name.
  package static func headSize(of partCount: Int, _ typeSizes: [Int]) -> Int {
    var size = headSize + partCount * 10
    for count in typeSizes { size += count }
    return size
  }

  /// The head of a message to send.
  package static func head(
    name: UnsafeRawBufferPointer, parent: UInt64, lane: UInt32 = 0,
    parts: UnsafeBufferPointer<MessagePart>, typeSizes: (Int) -> Int
  ) -> [UInt8] {
    var head: [UInt8] = []
    head.reserveCapacity(headSize + name.count + parts.count * 32)
    head.appendLE(UInt16(parts.count))
    head.appendLE(UInt16(name.count))
    head.appendLE(lane)
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
