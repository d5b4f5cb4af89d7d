// SPDX-License-Identifier: Apache-2.0

/// What a worker sent, once it is whole and checked.
package enum Arrival {
  case hello(Greeting)
  case ready
  case message(Message)
}

/// Turns the bytes of a worker's session into arrivals; keeps what is not yet whole.
package struct Inbox {
  /// The beginning of a frame whose end has not come.
  private var partial: [UInt8] = []
  private var unfinished: [Message] = []
  private var greeted = false
  /// Bytes that unfinished messages have been promised.
  private var promised: UInt64 = 0

  package init() {}

  /// Whether nothing half-done is kept: the last byte fed was the last of a message.
  package var isAtBoundary: Bool { partial.isEmpty && unfinished.isEmpty }

  /// Whether `bytes`, which begin with a frame, are that frame and no more.
  package static func isOneFrame(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= Wire.headerSize else { return false }
    let size = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    return bytes.count - Wire.headerSize == Int(size)
  }

  /// Takes in bytes, hands out what they complete, in order.
  package mutating func feed(
    _ bytes: UnsafeRawBufferPointer, _ deliver: (Arrival) throws(WireError) -> Void
  ) throws(WireError) {
    var rest = bytes
    if !partial.isEmpty {
      // Complete the header, then the payload: never more than one frame is kept.
      if partial.count < Wire.headerSize {
        take(Wire.headerSize - partial.count, from: &rest)
        guard partial.count >= Wire.headerSize else { return }
      }
      let size = try partialSize()
      take(Wire.headerSize + size - partial.count, from: &rest)
      guard partial.count == Wire.headerSize + size else { return }
      let whole = partial
      partial.removeAll(keepingCapacity: whole.count <= 4096)
      try whole.withUnsafeBufferPointer { (frame) throws(WireError) in
        try self.frame(UnsafeRawBufferPointer(frame), deliver)
      }
    }
    while rest.count >= Wire.headerSize {
      let size = try FrameHeader.decode(rest).size
      let whole = Wire.headerSize + size
      guard rest.count >= whole else { break }
      try frame(UnsafeRawBufferPointer(rebasing: rest[..<whole]), deliver)
      rest = UnsafeRawBufferPointer(rebasing: rest[whole...])
    }
    if rest.count > 0 { partial.append(contentsOf: rest) }
  }

  private mutating func take(_ count: Int, from rest: inout UnsafeRawBufferPointer) {
    let taken = min(count, rest.count)
    guard taken > 0 else { return }
    partial.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
    rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
  }

  private func partialSize() throws(WireError) -> Int {
    try partial.withUnsafeBufferPointer { (bytes) throws(WireError) in
      try FrameHeader.decode(UnsafeRawBufferPointer(bytes)).size
    }
  }

  private mutating func frame(
    _ bytes: UnsafeRawBufferPointer, _ deliver: (Arrival) throws(WireError) -> Void
  ) throws(WireError) {
    guard let header = try FrameHeader.decode(bytes).header else { return }
    let payload = UnsafeRawBufferPointer(rebasing: bytes[Wire.headerSize...])
    guard greeted else {
      guard header.kind == .hello else { throw .notAGreeting }
      let greeting = try Greeting(decoding: payload)
      greeted = true
      return try deliver(.hello(greeting))
    }
    switch header.kind {
    case .hello: throw .greetedTwice
    case .ready: try deliver(.ready)
    case .stop, .interrupt: throw .unexpectedKind(header.kind)
    case .call, .output, .result, .failure:
      if let message = try message(header, payload) { try deliver(.message(message)) }
    }
  }

  /// The message that this frame completes.
  private mutating func message(
    _ header: FrameHeader, _ payload: UnsafeRawBufferPointer
  ) throws(WireError) -> Message? {
    let index = unfinished.firstIndex { $0.id == header.id && $0.kind == header.kind }
    let message: Message
    if let index {
      message = unfinished[index]
      try message.append(payload)
    } else {
      message = try Message(
        kind: header.kind, id: header.id, payload: payload, budget: Wire.messageMax - promised)
    }
    if header.more {
      if index == nil {
        guard unfinished.count < Wire.unfinishedMax else { throw .tooManyUnfinished }
        unfinished.append(message)
        promised += UInt64(message.bodySize)
      }
      return nil
    }
    guard message.isComplete else { throw .sizesDoNotAddUp }
    if let index {
      unfinished.remove(at: index)
      promised -= UInt64(message.bodySize)
    }
    return message
  }
}
