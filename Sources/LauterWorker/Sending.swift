// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// One message on its way out.
struct Sending {
  let session: WorkerSession
  let kind: FrameKind
  let line: UnfinishedMessage.Line
  let id: UInt64
  let size: UInt64
  /// The first frame's turn was taken with the id.
  private var hasTurn: Bool
  /// Bytes of the payload that no frame has yet.
  private var left: Int
  /// The frame that is being put together.
  private var bytes: [UInt8] = []
  private var slices: [UnsafeRawBufferPointer] = []
  private var count = 0
  /// A whole frame that waits for a small one to go along with.
  private var held: OutgoingFrame?
  private var isEmpty = true
  /// Places that the host is to copy, and has not released as far as we know.
  private var placed: [Place] = []

  /// The most that is under way of a message whose pieces the host copies: it shall find them in the cache.
  static let piecesAtOnce = 8
  /// Bytes of a part that go into the frame's own memory.
  static let copiedMost = 1 << 13
  /// The most that waits for another frame.
  static let heldMost = 1 << 14

  init(
    _ session: WorkerSession, _ kind: FrameKind, _ line: UnfinishedMessage.Line, _ id: UInt64,
    _ size: Int
  ) {
    self.session = session
    self.kind = kind
    self.line = line
    self.id = id
    self.size = UInt64(size)
    left = size
    hasTurn = line == .none
  }

  /// With the lock.
  func finish() {
    if hasTurn { session.passTurn() }
    for index in session.unfinished.indices {
      let other = session.unfinished[index]
      if other.id == id, other.line == line, other.size == size {
        session.unfinished.remove(at: index)
        if session.beginners > 0 { session.wakeSleepers() }
        break
      }
    }
  }

  mutating func add(_ head: [UInt8], _ parts: UnsafeBufferPointer<MessagePart>) throws(SessionError)
  {
    left += head.count
    bytes = head
    count = head.count
    for part in parts where part.size > 0 {
      let data = UnsafeRawBufferPointer(start: part.data, count: part.size)
      if let place = session.takeLent(data) {
        try add(lent: place, part.size)
      } else if session.writer != nil, part.size >= Wire.placedLeast {
        try add(large: data)
      } else {
        try add(inLine: data)
      }
    }
    if isEmpty || count > 0 { try flush() }
    if held != nil { try write(nil) }
  }

  private mutating func add(inLine data: UnsafeRawBufferPointer) throws(SessionError) {
    var rest = data
    while rest.count > 0 {
      if count == Wire.payloadMax { try flush() }
      let piece = min(rest.count, Wire.payloadMax - count)
      let slice = UnsafeRawBufferPointer(rebasing: rest[..<piece])
      // Few bytes are sooner copied than given to the kernel by themselves.
      if piece < Sending.copiedMost, slices.isEmpty {
        bytes.append(contentsOf: slice)
      } else {
        slices.append(slice)
      }
      count += piece
      rest = UnsafeRawBufferPointer(rebasing: rest[piece...])
    }
  }

  /// Through the arena as far as there is room.
  private mutating func add(large data: UnsafeRawBufferPointer) throws(SessionError) {
    var done = 0
    while done < data.count {
      guard let place = try room(data.count, done) else { break }
      let end = done + Int(place.size)
      session.writer!.bytes(place).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: data[done..<end]))
      try add(place)
      done = end
    }
    try add(inLine: UnsafeRawBufferPointer(rebasing: data[done...]))
  }

  /// A place for all of a part that the host reads in place, else for a piece; nil if there is none.
  private mutating func room(_ size: Int, _ done: Int) throws(SessionError) -> Place? {
    let session = self.session
    let writer = session.writer!
    let piece = min(Wire.piece, size - done)
    var place: Place?
    try session.enter()
    defer { session.leave() }
    session.lastPlaced = lx_now()
    if done == 0, session.hostReadsInPlace { place = writer.take(UInt64(size)) }
    var patience = WorkerSession.Patience.endless
    while place == nil {
      placed.removeAll { !writer.isTaken($0) }
      if placed.count < Sending.piecesAtOnce { place = writer.take(UInt64(piece)) }
      if let place {
        placed.append(place)
      } else if placed.isEmpty {
        break
      } else {
        _ = try session.pause(&patience)
      }
    }
    return place
  }

  /// Memory that was lent lies in the arena already.
  private mutating func add(lent place: Place, _ size: Int) throws(SessionError) {
    let most = session.hostReadsInPlace ? UInt64(size) : Wire.placedMax
    var pieces: [Place] = []
    var done: UInt64 = 0
    while done < UInt64(size) {
      let piece = Place(offset: place.offset + done, size: min(most, UInt64(size) - done))
      pieces.append(piece)
      done += piece.size
    }
    session.relock()
    session.writer?.cut(place, into: pieces)
    session.unlock()
    for piece in pieces { try add(piece) }
  }

  private mutating func add(_ place: Place) throws(SessionError) {
    if count > 0 { try flush() }
    left -= Int(place.size)
    var payload: [UInt8] = []
    place.append(to: &payload)
    try write(
      OutgoingFrame(
        header: FrameHeader(
          size: Place.encodedSize, kind: kind, more: left > 0, placed: true),
        bytes: payload))
  }

  /// The frame that was put together is whole.
  private mutating func flush() throws(SessionError) {
    left -= count
    let frame = OutgoingFrame(
      header: FrameHeader(size: count, kind: kind, more: left > 0), bytes: bytes, slices: slices)
    bytes = []
    slices = []
    count = 0
    // A head goes with the first place. Not while others wait for the turn.
    if left > 0, frame.slices.isEmpty, held == nil, !hasTurn, frame.bytes.count <= Sending.heldMost
    {
      held = frame
      isEmpty = false
    } else {
      try write(frame)
    }
  }

  private mutating func write(_ frame: OutgoingFrame?) throws(SessionError) {
    isEmpty = false
    let session = self.session
    session.relock()
    if !hasTurn { session.takeTurn() }
    hasTurn = false
    var out = session.control
    session.control = []
    session.unlock()
    defer {
      session.relock()
      session.passTurn()
      session.leave()
    }
    append(held, to: &out)
    held = nil
    append(frame, to: &out)
    try out.withUnsafeBufferPointer { (bytes) throws(SessionError) in
      try session.write(UnsafeRawBufferPointer(bytes), frame?.slices ?? [])
    }
  }

  private func append(_ frame: OutgoingFrame?, to out: inout [UInt8]) {
    guard var header = frame?.header, let bytes = frame?.bytes else { return }
    header.id = id
    session.appendHeader(header, to: &out)
    out.append(contentsOf: bytes)
  }
}
