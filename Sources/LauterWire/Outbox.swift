// SPDX-License-Identifier: Apache-2.0

/// A message on its way out that the socket could not take at once: an owned copy, cut into frames as it goes.
package struct OutgoingMessage {
  package let kind: FrameKind
  package let slot: UInt16
  package let id: UInt64
  /// Messages that have the same number here, and not 0, go in their order.
  package let order: UInt64
  /// The head, and what of the parts is not placed, one after the other.
  private var payload: [UInt8]
  private var sent = 0
  /// What comes after the other.
  private var stretches: [Stretch] = []
  private var next = 0

  private enum Stretch {
    /// Of the payload.
    case line(Int)
    case place(Place)
  }

  /// - Parameter arena: where large parts are put as far as there is room; nil: all goes in line.
  package init(
    kind: FrameKind, slot: UInt16 = 0, id: UInt64 = 0, order: UInt64 = 0, head: [UInt8] = [],
    parts: UnsafeBufferPointer<MessagePart>? = nil, arena: ArenaWriter? = nil,
    inPlace: Bool = false
  ) {
    self.kind = kind
    self.slot = slot
    self.id = id
    self.order = order
    payload = head
    var line = head.count
    var total = 0
    if let parts { for part in parts { total += part.size } }
    if arena == nil { payload.reserveCapacity(head.count + total) }
    for index in 0..<(parts?.count ?? 0) {
      let part = UnsafeRawBufferPointer(start: parts![index].data, count: parts![index].size)
      var done = 0
      if let arena, part.count >= Wire.placedLeast {
        let piece = inPlace && arena.hasRoom(UInt64(part.count)) ? part.count : Wire.piece
        while done < part.count {
          let end = min(part.count, done + piece)
          let place = arena.put(
            UnsafeRawBufferPointer(rebasing: part[done..<end]), stays: total < Message.large)
          guard let place else { break }
          if line > 0 { stretches.append(.line(line)) }
          line = 0
          stretches.append(.place(place))
          done = end
        }
      }
      payload.append(contentsOf: UnsafeRawBufferPointer(rebasing: part[done...]))
      line += part.count - done
    }
    if line > 0 || stretches.isEmpty { stretches.append(.line(line)) }
  }

  /// Bytes that are kept for it here.
  package var size: Int { payload.count }

  fileprivate var isSent: Bool { next == stretches.count }

  /// The next frame, at most one payload's worth. Returns the bytes of the payload in it.
  fileprivate mutating func nextFrame(into out: inout [UInt8]) -> Int {
    switch stretches[next] {
    case .place(let place):
      next += 1
      appendHeader(to: &out, size: Place.encodedSize, placed: true)
      place.append(to: &out)
      return 0
    case .line(let length):
      let count = min(length, Wire.payloadMax)
      if count < length { stretches[next] = .line(length - count) } else { next += 1 }
      appendHeader(to: &out, size: count, placed: false)
      out.append(contentsOf: payload[sent..<(sent + count)])
      sent += count
      return count
    }
  }

  private func appendHeader(to out: inout [UInt8], size: Int, placed: Bool) {
    let header = FrameHeader(
      size: size, kind: kind, more: !isSent, placed: placed, slot: slot, id: id)
    withUnsafeTemporaryAllocation(byteCount: Wire.headerSize, alignment: 8) { bytes in
      header.encode(to: bytes)
      out.append(contentsOf: UnsafeRawBufferPointer(bytes))
    }
  }
}

/// What waits for a session that is full, or not yet ready. Messages of one order go in it; others take turns with
/// them frame by frame, so that no answer waits behind a call's gigabyte.
package struct Outbox {
  /// Frames as bytes, from `tailStart` on still to be written.
  private var tail: [UInt8] = []
  private var tailStart = 0
  private var messages: [OutgoingMessage] = []
  private var turn = 0
  /// Frames and messages that wait and that the other side caused.
  package private(set) var answers = 0
  /// Bytes that wait.
  package private(set) var size = 0
  /// Those of channels' messages among them.
  package private(set) var dataSize = 0

  package init() {}

  /// The order of calls on the lane *main*.
  package static let mainCalls: UInt64 = 1

  package var isEmpty: Bool { size == 0 && messages.isEmpty }

  /// Bytes that were cut out of a frame by a socket that took only its beginning: they go before anything else.
  package mutating func appendTail(_ bytes: UnsafeRawBufferPointer) {
    tail.append(contentsOf: bytes)
    size += bytes.count
  }

  package mutating func append(_ message: OutgoingMessage) {
    size += message.size + Wire.headerSize
    if message.kind == .data { dataSize += message.size + Wire.headerSize }
    if message.kind.isResponse { answers += 1 }
    messages.append(message)
  }

  /// Whether something of this message has still to go.
  package func holds(_ kind: FrameKind, _ id: UInt64) -> Bool {
    messages.contains { $0.kind == kind && $0.id == id }
  }

  /// Takes out a call of which nothing has gone.
  package mutating func withdrawCall(_ id: UInt64) {
    guard let index = messages.firstIndex(where: { $0.kind == .call && $0.id == id }) else {
      return
    }
    size -= messages[index].size + Wire.headerSize
    messages.remove(at: index)
  }

  /// The next message that is the first of its order.
  private mutating func takeTurn() {
    for _ in 0..<messages.count {
      if turn >= messages.count { turn = 0 }
      let order = messages[turn].order
      if order == 0 || messages.firstIndex(where: { $0.order == order }) == turn { return }
      turn += 1
    }
    if turn >= messages.count { turn = 0 }
  }

  /// Hands bytes to `write` until there are none or it takes less than offered; `write` returns how many it took.
  package mutating func flush<E: Error>(
    _ write: (UnsafeRawBufferPointer) throws(E) -> Int
  ) throws(E) {
    while true {
      if tailStart == tail.count {
        tail.removeAll(keepingCapacity: tail.capacity <= 2 * Wire.payloadMax)
        tailStart = 0
        guard !messages.isEmpty else {
          size = 0
          return
        }
        takeTurn()
        let isData = messages[turn].kind == .data
        var gone = messages[turn].nextFrame(into: &tail)
        if messages[turn].isSent { gone += Wire.headerSize }
        size += tail.count - gone
        if isData { dataSize -= gone }
        if messages[turn].isSent {
          if messages[turn].kind.isResponse { answers -= 1 }
          messages.remove(at: turn)
        } else {
          turn += 1
        }
      }
      let start = tailStart
      let taken = try tail.withUnsafeBufferPointer { (bytes) throws(E) in
        try write(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[start...]))
      }
      tailStart += taken
      size -= taken
      if tailStart < tail.count { return }
    }
  }
}
