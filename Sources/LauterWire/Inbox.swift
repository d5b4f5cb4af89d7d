// SPDX-License-Identifier: Apache-2.0

/// What the other side sent, once it is whole and checked.
package enum Arrival {
  case hello(Greeting)
  case ready
  case message(Message)
  /// It is done with these places of our half of the arena.
  case release([Place])
  case credit(channel: UInt64, UInt64)
  case need(channel: UInt64, UInt64)
  case end(channel: UInt64)
  /// From a host: a call is asked to stop. From a worker: it no longer waits for the answer to its own call.
  case interrupt(call: UInt64)
  case stop
}

/// Turns the bytes of a session into arrivals; keeps what is not yet whole.
package struct Inbox {
  /// Which side's words these are.
  package enum Sender: Sendable { case worker, host }

  /// The beginning of a frame whose end has not come; while paused, whatever was not looked at.
  private var partial: [UInt8] = []
  private var unfinished: [Message] = []
  private var greeted = false
  /// Bytes that unfinished messages have been promised.
  private var promised: UInt64 = 0
  private let sender: Sender
  /// Set once there is an arena.
  package var arena: ArenaReader?
  /// Places whose bytes were copied: to be released.
  package private(set) var copiedPlaces: [Place] = []
  private var copied = 0
  /// It stopped where it was told to, or after it had copied much: `resume` goes on.
  package private(set) var isPaused = false

  /// Bytes copied out of the arena before others have their turn.
  private static let copiedMost = 2 << 20

  package init(from sender: Sender = .worker) { self.sender = sender }

  /// Whether nothing half-done is kept: the last byte fed was the last of a message.
  package var isAtBoundary: Bool { partial.isEmpty && unfinished.isEmpty }

  /// Whether `bytes`, which begin with a frame, are that frame and no more.
  package static func isOneFrame(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count >= Wire.headerSize else { return false }
    let size = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    return bytes.count - Wire.headerSize == Int(size)
  }

  /// Takes in bytes, hands out what they complete, in order. Not while paused.
  ///
  /// - Parameters:
  ///   - admit: asked once for each message, with its kind, its id and the size of head and parts, before memory is taken for it.
  ///   - deliver: false pauses.
  package mutating func feed(
    _ bytes: UnsafeRawBufferPointer,
    admit: (FrameHeader, Int) throws(WireError) -> Admission,
    deliver: (Arrival) throws(WireError) -> Bool
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
        try self.frame(UnsafeRawBufferPointer(frame), admit, deliver)
      }
    }
    while !isPaused, rest.count >= Wire.headerSize {
      let size = try FrameHeader.decode(rest).size
      let whole = Wire.headerSize + size
      guard rest.count >= whole else { break }
      try frame(UnsafeRawBufferPointer(rebasing: rest[..<whole]), admit, deliver)
      rest = UnsafeRawBufferPointer(rebasing: rest[whole...])
    }
    if rest.count > 0 { partial.append(contentsOf: rest) }
  }

  /// Goes on after a pause.
  package mutating func resume(
    admit: (FrameHeader, Int) throws(WireError) -> Admission,
    deliver: (Arrival) throws(WireError) -> Bool
  ) throws(WireError) {
    guard isPaused else { return }
    isPaused = false
    copied = 0
    let kept = partial
    partial = []
    try kept.withUnsafeBufferPointer { (bytes) throws(WireError) in
      try feed(UnsafeRawBufferPointer(bytes), admit: admit, deliver: deliver)
    }
  }

  /// Takes the places that are to be released.
  package mutating func takeCopiedPlaces() -> [Place] {
    let places = copiedPlaces
    copiedPlaces = []
    return places
  }

  /// Nothing is written any more into memory that was lent for this message's parts.
  package mutating func letGo(_ kind: FrameKind, _ id: UInt64) {
    for message in unfinished where message.kind == kind && message.id == id { message.letGo() }
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
    _ bytes: UnsafeRawBufferPointer,
    _ admit: (FrameHeader, Int) throws(WireError) -> Admission,
    _ deliver: (Arrival) throws(WireError) -> Bool
  ) throws(WireError) {
    guard let header = try FrameHeader.decode(bytes).header else { return }
    let payload = UnsafeRawBufferPointer(rebasing: bytes[Wire.headerSize...])
    guard let arrival = try arrival(header, payload, admit) else { return }
    if try !deliver(arrival) { isPaused = true }
  }

  private mutating func arrival(
    _ header: FrameHeader, _ payload: UnsafeRawBufferPointer,
    _ admit: (FrameHeader, Int) throws(WireError) -> Admission
  ) throws(WireError) -> Arrival? {
    guard greeted else {
      guard header.kind == .hello else { throw .notAGreeting }
      let greeting = try Greeting(decoding: payload)
      greeted = true
      return .hello(greeting)
    }
    switch (header.kind, sender) {
    case (.hello, _): throw .greetedTwice
    case (.ready, .worker): return .ready
    case (.stop, .host): return .stop
    case (.ready, .host), (.stop, .worker), (.output, .host): throw .unexpectedKind(header.kind)
    case (.interrupt, _): return .interrupt(call: header.id)
    case (.release, _): return .release(try Place.decode(payload))
    case (.credit, _): return .credit(channel: header.id, try Inbox.number(header, payload))
    case (.need, _): return .need(channel: header.id, try Inbox.number(header, payload))
    case (.end, _): return .end(channel: header.id)
    case (.call, _), (.output, _), (.result, _), (.failure, _), (.open, _), (.data, _),
      (.cancel, _):
      return try message(header, payload, admit).map { .message($0) }
    }
  }

  /// The payload of a frame that brings a number.
  private static func number(
    _ header: FrameHeader, _ payload: UnsafeRawBufferPointer
  ) throws(WireError) -> UInt64 {
    guard payload.count == 8 else { throw .wrongSize(header.kind, payload.count) }
    return UInt64(littleEndian: payload.loadUnaligned(as: UInt64.self))
  }

  /// The message that this frame completes.
  private mutating func message(
    _ header: FrameHeader, _ payload: UnsafeRawBufferPointer,
    _ admit: (FrameHeader, Int) throws(WireError) -> Admission
  ) throws(WireError) -> Message? {
    let index = unfinished.firstIndex { $0.id == header.id && $0.kind == header.kind }
    let message: Message
    if let index {
      message = unfinished[index]
      if header.placed {
        try append(payload, to: message)
      } else {
        try message.append(payload)
      }
    } else {
      guard !header.placed else { throw .badPlaces }
      message = try Message(
        kind: header.kind, id: header.id, payload: payload,
        // What is whole in one frame has been received already.
        budget: header.more ? Wire.messageMax - promised : Wire.messageMax
      ) { (size) throws(WireError) in try admit(header, size) }
      message.slot = header.slot
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

  private mutating func append(
    _ payload: UnsafeRawBufferPointer, to message: Message
  ) throws(WireError) {
    guard let arena else { throw .badPlaces }
    let places = try Place.decode(payload)
    guard let count = try message.append(places, arena) else { return }
    copiedPlaces.append(contentsOf: places)
    copied += count
    if copied >= Inbox.copiedMost { isPaused = true }
  }
}
