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

extension FrameKind {
  var line: UnfinishedMessage.Line {
    switch self {
    case .output, .result, .failure: .answers
    case .data, .end, .cancel: .channel
    default: .none
    }
  }
}

extension WorkerSession {
  /// Sends a message, frame by frame, so that other threads' come in between.
  ///
  /// - Parameter chooseID: asked once, with the lock and the turn, so that ids are seen in the order of their choice; what it
  ///   throws ends it before anything was sent.
  func send(
    _ kind: FrameKind, parent: UInt64 = 0, _ message: OutgoingParts,
    _ chooseID: () throws(SessionError) -> UInt64
  ) throws(SessionError) {
    var bytes: [UInt8] = []
    if kind != .end {
      bytes = Message.head(name: message.name, parent: parent, parts: message.parts) {
        message.typeSizes[$0]
      }
      guard bytes.count <= Wire.payloadMax else {
        throw SessionError(
          LAUTER_ERROR_LIMIT, subject: "parts",
          "the names and media types have \(bytes.count) bytes, at most \(Wire.payloadMax) are allowed"
        )
      }
    }
    var sending = Sending(self, kind, size: message.size)
    try sending.begin(chooseID)
    do throws(SessionError) {
      try sending.add(bytes, message.parts)
    } catch {
      sending.finish()
      throw error
    }
    sending.finish()
    for part in message.parts { freeLent(part.data) }
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
