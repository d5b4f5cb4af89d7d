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
  import LauterWire
#endif

extension WorkerSession {
  /// Takes in what the session has now. With the lock.
  func receive() {
    guard case .open = end else { return }
    let count = lx_recv_now(socket.raw, buffer.baseAddress, buffer.count)
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return }
    // A host that died with bytes of ours unread.
    if count == 0 || count == -Int(ECONNRESET) {
      end = .closed
      return
    }
    if count < 0 {
      end = .failed(KernelError(call: "recv", errno: Int32(-count)))
      return
    }
    do throws(WireError) {
      try inbox.feed(
        UnsafeRawBufferPointer(rebasing: buffer[..<count]),
        admit: { (header, size) throws(WireError) in try admit(header, size) },
        deliver: { (arrival) throws(WireError) in try deliver(arrival) })
      releaseCopied()
      while inbox.isPaused {
        try inbox.resume(
          admit: { (header, size) throws(WireError) in try admit(header, size) },
          deliver: { (arrival) throws(WireError) in try deliver(arrival) })
        releaseCopied()
      }
    } catch {
      end = .broken(error)
    }
  }

  /// Tells the host that what was copied out of its half can be used again.
  private func releaseCopied() {
    let places = inbox.takeCopiedPlaces()
    if !places.isEmpty { appendRelease(places) }
    releaseReturned()
  }

  /// Likewise what was read in place.
  func releaseReturned() {
    if let places = returns?.take(), !places.isEmpty { appendRelease(places.map { $0.place }) }
    flushControl()
  }

  private func appendRelease(_ places: [Place]) {
    for start in stride(from: 0, to: places.count, by: Wire.placesMax) {
      var payload: [UInt8] = []
      for place in places[start..<min(places.count, start + Wire.placesMax)] {
        place.append(to: &payload)
      }
      appendControl(.release, payload: payload)
    }
  }

  /// What becomes of a message's parts, of which and its head so many bytes are to come.
  private func admit(_ header: FrameHeader, _ size: Int) throws(WireError) -> Admission {
    switch header.kind {
    case .result, .failure: return waiting.contains(header.id) ? .keep : .drop
    case .data:
      guard let channel = channel(header.id) else {
        try checkWasChannel(header.id)
        return .drop
      }
      try channel.charge(size)
      return .keep
    default: return .keep
    }
  }

  private func deliver(_ arrival: Arrival) throws(WireError) -> Bool {
    switch arrival {
    case .hello(let greeting): self.greeting = greeting
    case .ready: break  // The inbox refuses it.
    case .stop: isStopped = true
    case .interrupt(let call):
      arrivals.append(WorkerArrival(LAUTER_REQUEST_INTERRUPT, call))
    case .release(let places):
      guard let writer else { throw .badPlaces }
      for place in places { try writer.release(place) }
    case .message(let message): try deliver(message)
    case .credit(let id, let amount):
      if let channel = channel(id) {
        if try channel.addCredit(amount) {
          arrivals.append(WorkerArrival(LAUTER_REQUEST_WRITABLE, id))
        }
      } else {
        try checkWasChannel(id)
      }
    case .need(let id, let amount):
      if let channel = channel(id) {
        try grantNeeded(channel, amount)
      } else {
        try checkWasChannel(id)
      }
    case .end(let id):
      if let channel = channel(id) {
        guard !channel.hostHasEnded else { throw .dataAfterEnd(id) }
        channel.hostHasEnded = true
        arrivals.append(WorkerArrival(LAUTER_REQUEST_END, id))
        if channel.weHaveEnded { close(channel, nil) }
      } else {
        try checkWasChannel(id)
      }
    }
    return true
  }

  private func deliver(_ message: Message) throws(WireError) {
    let id = message.id
    switch message.kind {
    case .call:
      guard message.slot < 256, !unanswered.contains(id) else { throw .repeatedCall(id) }
      unanswered.append(id)
      arrivals.append(WorkerArrival(LAUTER_REQUEST_CALL, id, message))
    case .result, .failure:
      if let index = waiting.firstIndex(of: id) {
        waiting.remove(at: index)
        arrivals.append(
          WorkerArrival(
            message.kind == .result ? LAUTER_REQUEST_RESULT : LAUTER_REQUEST_FAILURE, id, message))
      } else if id == 0 || id >= nextCall {
        throw .unknownCall(id)
      }
    case .open: try opened(message)
    case .data:
      // It was there when the message began.
      guard let channel = channel(id) else { return }
      arrivals.append(WorkerArrival(LAUTER_REQUEST_DATA, id, message, channel))
    case .cancel:
      if let channel = channel(id) { close(channel, message) } else { try checkWasChannel(id) }
    default: break
    }
  }
}
