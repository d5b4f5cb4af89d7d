// SPDX-License-Identifier: Apache-2.0

/// A message on its way out that the socket could not take at once: an owned copy, cut into frames as it goes.
package struct OutgoingMessage {
  package let kind: FrameKind
  package let slot: UInt16
  package let id: UInt64
  /// Head and parts, one after the other.
  fileprivate let payload: [UInt8]
  fileprivate var sent = 0

  package init(
    kind: FrameKind, slot: UInt16 = 0, id: UInt64 = 0, head: [UInt8] = [],
    parts: UnsafeBufferPointer<MessagePart>? = nil
  ) {
    self.kind = kind
    self.slot = slot
    self.id = id
    var payload = head
    if let parts {
      var total = head.count
      for part in parts { total += part.size }
      payload.reserveCapacity(total)
      for part in parts where part.size > 0 {
        payload.append(contentsOf: UnsafeRawBufferPointer(start: part.data, count: part.size))
      }
    }
    self.payload = payload
  }

  package var size: Int { payload.count }

  fileprivate var isSent: Bool { sent == payload.count }

  /// The next frame, at most one payload's worth.
  fileprivate mutating func nextFrame(into out: inout [UInt8]) {
    let count = min(payload.count - sent, Wire.payloadMax)
    let header = FrameHeader(
      size: count, kind: kind, more: sent + count < payload.count, slot: slot, id: id)
    withUnsafeTemporaryAllocation(byteCount: Wire.headerSize, alignment: 8) { bytes in
      header.encode(to: bytes)
      out.append(contentsOf: UnsafeRawBufferPointer(bytes))
    }
    out.append(contentsOf: payload[sent..<(sent + count)])
    sent += count
  }
}

/// What waits for a session that is full, or not yet ready. Calls go in their order; other messages take
/// turns with them frame by frame, so that no answer waits behind a call's gigabyte.
package struct Outbox {
  /// Frames as bytes, from `tailStart` on still to be written.
  private var tail: [UInt8] = []
  private var tailStart = 0
  private var messages: [OutgoingMessage] = []
  private var turn = 0
  /// Messages that wait and are no calls.
  package private(set) var answers = 0
  /// Bytes that wait.
  package private(set) var size = 0

  package init() {}

  package var isEmpty: Bool { size == 0 && messages.isEmpty }

  /// Bytes that were cut out of a frame by a socket that took only its beginning: they go before anything else.
  package mutating func appendTail(_ bytes: UnsafeRawBufferPointer) {
    tail.append(contentsOf: bytes)
    size += bytes.count
  }

  package mutating func append(_ message: OutgoingMessage) {
    size += message.size + Wire.headerSize
    if message.kind != .call { answers += 1 }
    messages.append(message)
  }

  /// Calls keep their order; answers and the rest take turns with the first of them.
  private mutating func takeTurn() {
    let firstCall = messages.firstIndex { $0.kind == .call }
    for _ in 0..<messages.count {
      if turn >= messages.count { turn = 0 }
      if messages[turn].kind != .call || turn == firstCall { return }
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
        let before = messages[turn].sent
        messages[turn].nextFrame(into: &tail)
        size += tail.count - (messages[turn].sent - before)
        if messages[turn].isSent {
          size -= Wire.headerSize
          if messages[turn].kind != .call { answers -= 1 }
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
