// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterWire)
  package import LauterWire
#endif

/// What is to be sent. Nothing is copied: it is good for as long as the caller's memory is.
package struct OutgoingParts {
  let name: UnsafeRawBufferPointer
  let parts: UnsafeBufferPointer<MessagePart>
  let typeSizes: [Int]
  package let size: Int

  package init(
    name: UnsafeRawBufferPointer, parts: UnsafeBufferPointer<MessagePart>, typeSizes: [Int],
    size: Int
  ) {
    self.name = name
    self.parts = parts
    self.typeSizes = typeSizes
    self.size = size
  }

  /// Of a frame without a payload.
  init() {
    self.init(
      name: .init(start: nil, count: 0), parts: .init(start: nil, count: 0), typeSizes: [], size: 0)
  }
}

/// What a message is sent as.
package enum Purpose {
  case output(call: UInt64)
  case result(call: UInt64)
  case failure(call: UInt64)
  case call(parent: UInt64)
  case open(window: UInt64)
  case data(channel: UInt64, milliseconds: Int64)
  case end(channel: UInt64)
  case cancel(channel: UInt64)
}

/// A message that has begun to be sent.
struct UnfinishedMessage {
  /// Messages of one line are sent one after the other.
  let line: Line
  let id: UInt64
  let size: UInt64

  enum Line { case answers, channel, none }
}

/// A frame, but for its id.
struct OutgoingFrame {
  var header: FrameHeader
  /// The payload: these bytes, then those.
  var bytes: [UInt8]
  var slices: [UnsafeRawBufferPointer] = []
}

extension WorkerSession {
  /// Sends a message, frame by frame, so that other threads' come in between.
  ///
  /// - Returns: its id.
  @discardableResult
  package func send(_ purpose: Purpose, _ message: OutgoingParts) throws(SessionError) -> UInt64 {
    var parent: UInt64 = 0
    if case .call(let within) = purpose { parent = within }
    var head = Message.head(name: message.name, parent: parent, parts: message.parts) {
      message.typeSizes[$0]
    }
    if case .end = purpose { head = [] }
    guard head.count <= Wire.payloadMax else {
      throw SessionError(
        LAUTER_ERROR_LIMIT, subject: "parts",
        "the names and media types have \(head.count) bytes, at most \(Wire.payloadMax) are allowed"
      )
    }
    var sending = try begin(purpose, head.count, message.size)
    var failure: SessionError?
    do throws(SessionError) { try sending.add(head, message.parts) } catch { failure = error }
    relock()
    sending.finish()
    switch purpose {
    case .open(let window): granted(sending.id, window: window)
    case .end(let channel): ended(channel)
    default: break
    }
    if failure == nil, !lent.isEmpty { for part in message.parts { freeLent(part.data) } }
    leave()
    if let failure { throw failure }
    return sending.id
  }

  /// Waits until a message may begin, and notes that it has.
  private func begin(_ purpose: Purpose, _ headSize: Int, _ size: Int) throws(SessionError)
    -> Sending
  {
    try enter()
    defer { leave() }
    guard saidReady else {
      throw SessionError(
        LAUTER_ERROR_STATE, subject: "session", "the worker has not said that it is ready")
    }
    if isDeaf { throw end.error ?? .hostGone }
    var id: UInt64 = 0
    let kind: FrameKind
    var line = UnfinishedMessage.Line.none
    switch purpose {
    case .output(let call):
      (kind, line, id) = (.output, .answers, call)
      _ = try unansweredCall(call)
    case .result(let call), .failure(let call):
      if case .result = purpose { kind = .result } else { kind = .failure }
      (line, id) = (.answers, call)
      unanswered.remove(at: try unansweredCall(call))
    case .data(let channel, let milliseconds):
      (kind, line, id) = (.data, .channel, channel)
      try takeCredit(channel, headSize + size, milliseconds: milliseconds)
    case .end(let channel):
      (kind, line, id) = (.end, .channel, channel)
      try openChannel(channel).weHaveEnded = true
    case .cancel(let channel):
      (kind, line, id) = (.cancel, .channel, channel)
      try drop(channel)
    case .call: kind = .call
    case .open(let window):
      try checkWindow(window)
      kind = .open
    }
    var patience = Patience.endless
    while !mayBegin(line, id, UInt64(size)) {
      beginners += 1
      defer { beginners -= 1 }
      _ = try pause(&patience)
    }
    // Ids are seen in the order of their choice: with the turn for the first frame.
    if line == .none {
      takeTurn()
      do throws(SessionError) {
        id = try kind == .call ? newCall() : newChannel()
      } catch {
        passTurn()
        throw error
      }
    }
    unfinished.append(UnfinishedMessage(line: line, id: id, size: UInt64(size)))
    return Sending(self, kind, line, id, size)
  }

  /// Whether the host takes one more, and no other of the same line is under way.
  private func mayBegin(_ line: UnfinishedMessage.Line, _ id: UInt64, _ size: UInt64) -> Bool {
    var sum = size
    for other in unfinished {
      if line != .none, other.line == line, other.id == id { return false }
      sum += other.size
    }
    return unfinished.count < Wire.unfinishedMax && sum <= Wire.messageMax
  }

  /// Writes everything, however long the host takes to make room. With the turn and without the lock.
  func write(_ bytes: UnsafeRawBufferPointer, _ slices: [UnsafeRawBufferPointer])
    throws(SessionError)
  {
    var vector: [iovec] = []
    vector.reserveCapacity(1 + slices.count)
    vector.append(
      iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count))
    for slice in slices {
      vector.append(
        iovec(iov_base: UnsafeMutableRawPointer(mutating: slice.baseAddress), iov_len: slice.count))
    }
    var next = 0
    while next < vector.count {
      let sent = vector.withUnsafeBufferPointer {
        lx_send_vector_now(socket.raw, $0.baseAddress! + next, $0.count - next)
      }
      if sent == -Int(EAGAIN) { awaitRoom() }
      if sent == -Int(EAGAIN) || sent == -Int(EINTR) { continue }
      if sent < 0 {
        relock()
        isDeaf = true
        let error = end.error
        unlock()
        throw error ?? .hostGone
      }
      var left = sent
      while next < vector.count, left >= vector[next].iov_len {
        left -= vector[next].iov_len
        next += 1
      }
      if left > 0 {
        vector[next].iov_base += left
        vector[next].iov_len -= left
      }
    }
  }

  /// Sleeps until the socket takes more, and reads meanwhile if nobody else does: the host may wait for that.
  private func awaitRoom() {
    relock()
    let reads: Bool
    if case .open = end { reads = !isReading } else { reads = false }
    if reads { isReading = true } else { senderSleeps = true }
    unlock()
    withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 2) { polls in
      polls[0] = pollfd(
        fd: socket.raw, events: Int16(POLLOUT | (reads ? POLLIN : 0)), revents: 0)
      polls[1] = pollfd(fd: wake.raw, events: Int16(POLLIN), revents: 0)
      _ = lx_poll(polls.baseAddress, 2, -1)
      relock()
      senderSleeps = false
      if reads {
        isReading = false
        if polls[0].revents & Int16(POLLIN) != 0 { receive() }
      }
      if polls[1].revents != 0 {
        var value: UInt64 = 0
        _ = lx_read(wake.raw, &value, 8)
      }
      wakeSleepers()
      unlock()
    }
  }
}
