// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif
#if canImport(LauterWire)
  package import LauterWire
#endif

/// What goes out: a verb or name and parts that the caller owns for the time of the call.
package struct Outgoing {
  package let name: UnsafeRawBufferPointer
  package let parts: UnsafeBufferPointer<MessagePart>
  /// Bytes of each part's media type.
  package let typeSizes: [Int]
  package let bodySize: Int

  package init(
    name: UnsafeRawBufferPointer, parts: UnsafeBufferPointer<MessagePart>, typeSizes: [Int],
    bodySize: Int
  ) {
    self.name = name
    self.parts = parts
    self.typeSizes = typeSizes
    self.bodySize = bodySize
  }
}

extension Host {
  package func startCall(
    _ workerId: UInt64, lane: UInt32, _ outgoing: Outgoing, timeoutMilliseconds: Int64,
    cookie: UInt64
  ) throws(HostError) -> UInt64 {
    try checkFork()
    return try locked { () throws(HostError) in
      let worker = try worker(workerId)
      takeReturns()
      try checkTalks(worker)
      try checkRoom(worker)
      try checkSize(outgoing, worker)
      if worker.lifecycle.phase == .ready, let error = refusal(of: lane, worker) { throw error }
      let id = nextCall
      guard let slot = worker.page?.take(for: id) else {
        throw HostError(
          LAUTER_ERROR_LIMIT, subject: "\(workerId)",
          "worker \(workerId) has \(LAUTER_CALLS_MAX) calls in flight")
      }
      nextCall += 1
      let call = Call(
        id: id, worker: worker, cookie: cookie, lane: lane, slot: slot,
        deadline: timeoutMilliseconds < 0
          ? nil
          : worker.lifecycle.ownTime(lx_now()) + Bounds.nanoseconds(UInt64(timeoutMilliseconds)),
        graceNanoseconds: Bounds.nanoseconds(worker.launch.interruptGraceMilliseconds))
      worker.calls.append(call)
      calls[id] = call
      send(
        worker, .call, slot: slot, id: id,
        order: lane == LAUTER_LANE_MAIN ? Outbox.mainCalls : 0, lane: lane, outgoing)
      if call.deadline != nil { arm(worker) }
      return id
    }
  }

  /// Whether more may wait for it.
  func checkRoom(_ worker: Worker) throws(HostError) {
    guard worker.outbox.size > Bounds.unsentBytes else { return }
    throw HostError(
      LAUTER_ERROR_LIMIT, subject: "\(worker.id)",
      "worker \(worker.id) has not read \(worker.outbox.size >> 20) MiB that were sent before")
  }

  /// Whether it takes messages of this size.
  func checkSize(_ outgoing: Outgoing, _ worker: Worker) throws(HostError) {
    guard UInt64(outgoing.bodySize) > worker.messageMax else { return }
    throw HostError(
      LAUTER_ERROR_LIMIT, subject: "parts",
      "worker \(worker.id) takes messages of at most \(worker.messageMax) bytes")
  }

  /// Why a worker takes no calls on a lane.
  private func refusal(of lane: UInt32, _ worker: Worker) -> HostError? {
    if lane == LAUTER_LANE_MAIN || worker.abilities.contains(.sideLane) { return nil }
    return HostError(
      LAUTER_ERROR_UNSUPPORTED, subject: "lane",
      "worker \(worker.id) (\(worker.runtime)) takes no calls on the lane side, only one after the other"
    )
  }

  /// It has said what it can: calls that were to run beside others end, where it cannot.
  func refuseLanes(_ worker: Worker) {
    for call in worker.calls {
      guard let error = refusal(of: call.lane, worker) else { continue }
      worker.outbox.withdrawCall(call.id)
      let event = Event(LAUTER_EVENT_DONE, of: worker)
      event.status = Int32(error.code)
      event.error = error
      complete(call, event)
    }
  }

  /// Whether it has a session that can be used.
  func checkTalks(_ worker: Worker) throws(HostError) {
    guard worker.hasSession else {
      throw .state(worker.id, "runs a program, which takes no calls")
    }
    guard !worker.lifecycle.isEnding, worker.session != nil else {
      throw .state(worker.id, "is ending and takes no calls")
    }
  }

  package func interruptCall(_ id: UInt64) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      guard let call = try hostCall(id), call.done == nil else { return }
      interrupt(call)
    }
  }

  package func abandonCall(_ id: UInt64) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      guard let call = try hostCall(id) else { return }
      if let done = call.done {
        // It has ended, and nobody has taken its end yet.
        if !call.isAwaited {
          settle(done)
          queue.void(done)
        }
        return
      }
      call.abandoned = true
      call.deadline = nil
      letGo(call)
      wakeWaiters(of: call.worker)
      queue.void { $0.call == id && $0.kind == LAUTER_EVENT_OUTPUT && forget($0) }
    }
  }

  /// The parts of the call's result go there, if they fit and have not begun to come.
  package func receiveResult(
    of id: UInt64, in memory: UnsafeMutableRawBufferPointer
  ) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      guard let call = calls[id], call.done == nil, !call.abandoned else { throw .staleCall(id) }
      letGo(call)
      call.memory = memory
    }
  }

  /// Nothing is written any more where the program wanted the call's result.
  func letGo(_ call: Call) {
    guard call.memory != nil else { return }
    call.memory = nil
    call.worker.inbox.letGo(.result, call.id)
  }

  /// Settles an event that is withdrawn.
  private func forget(_ event: Event) -> Bool {
    settle(event)
    return true
  }

  /// The call with this id, nil if it has ended, an error if it never was one.
  private func hostCall(_ id: UInt64) throws(HostError) -> Call? {
    if let call = calls[id] { return call }
    guard id > 0, id < nextCall, incoming[id] == nil else { throw .staleCall(id) }
    return nil
  }

  /// Asks one call to stop, in the ways that its worker understands.
  func interrupt(_ call: Call) {
    let worker = call.worker
    worker.page?.request(call.slot)
    // Before it is ready a runtime has no handler; the page says it all, and it looks there first.
    guard worker.lifecycle.phase == .ready else { return }
    if worker.abilities.contains(.interruptByMessage) {
      worker.outbox.append(OutgoingMessage(kind: .interrupt, id: call.id))
      flush(worker)
    }
    if worker.abilities.contains(.interruptBySignal) {
      // Calls run in their order: the group below belongs to the first, and only that one's children may be meant.
      worker.order(
        .signal(2, group: worker.interruptsGroup && call.lane == LAUTER_LANE_MAIN && call.mayRun))
    }
  }

  // MARK: Calls from the worker

  func called(_ worker: Worker, _ message: Message) throws(WireError) {
    if message.nameText.utf8.starts(with: "lauter.".utf8) { return answerItself(worker, message) }
    guard worker.incoming.count < Bounds.incomingCalls else {
      throw .tooManyCalls(Bounds.incomingCalls)
    }
    guard !worker.incoming.contains(where: { $0.wire == message.id }) else {
      throw .repeatedCall(message.id)
    }
    let event = Event(LAUTER_EVENT_CALL, of: worker)
    event.call = nextCall
    event.parent = worker.call(message.parent)?.id ?? 0
    event.message = message
    worker.incoming.append((host: nextCall, wire: message.id))
    incoming[nextCall] = worker
    nextCall += 1
    drainStreams(worker)
    push(event, of: worker)
  }

  /// The worker waits for its call's answer no longer.
  func cancelledCall(_ worker: Worker, _ wire: UInt64) {
    guard let index = worker.incoming.firstIndex(where: { $0.wire == wire }) else { return }
    let id = worker.incoming.remove(at: index).host
    incoming[id] = nil
    let event = Event(LAUTER_EVENT_CALL_CANCELLED, of: worker)
    event.call = id
    push(event, of: worker)
  }

  package func reply(_ id: UInt64, _ outgoing: Outgoing, isFailure: Bool) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      guard let worker = incoming.removeValue(forKey: id),
        let index = worker.incoming.firstIndex(where: { $0.host == id })
      else { throw .staleCall(id) }
      let wire = worker.incoming.remove(at: index).wire
      send(worker, isFailure ? .failure : .result, slot: 0, id: wire, outgoing)
    }
  }

  /// Verbs that begin with `lauter.` never reach the host's program.
  private func answerItself(_ worker: Worker, _ message: Message) {
    var text: String?
    var isFailure = true
    if message.bodySize > Bounds.question {
      text = "\(message.nameText) with more than \(Bounds.question) bytes"
    } else if message.nameText == "lauter.sync" {
      isFailure = false
    } else if message.nameText != "lauter.check" {
      text = "the library has no verb '\(message.nameText)'"
    } else if message.partCount != 2 {
      text = "lauter.check takes two parts, a word and a value"
    } else {
      let word = String(decoding: bytes(message.parts[0]), as: UTF8.self)
      let value = String(decoding: bytes(message.parts[1]), as: UTF8.self)
      do throws(PolicyError) {
        text = try worker.policy.check(word, value)
        isFailure = false
      } catch {
        text = error.message
      }
    }
    let name: StaticString = isFailure ? "ValueError" : ""
    var utf8 = Array((text ?? "").utf8)
    utf8.withUnsafeMutableBufferPointer { body in
      let type: StaticString = "text/plain"
      let part = MessagePart(
        type: UnsafeRawPointer(type.utf8Start).assumingMemoryBound(to: CChar.self),
        data: UnsafeRawPointer(body.baseAddress), size: body.count)
      withUnsafePointer(to: part) { part in
        let outgoing = Outgoing(
          name: UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount),
          parts: UnsafeBufferPointer(start: part, count: text == nil ? 0 : 1),
          typeSizes: [type.utf8CodeUnitCount], bodySize: body.count)
        send(worker, isFailure ? .failure : .result, slot: 0, id: message.id, outgoing)
      }
    }
  }

  private func bytes(_ part: MessagePart) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: part.data, count: part.size)
  }

  // MARK: Sending

  /// Sends a message now if the session takes it, else as it can.
  func send(
    _ worker: Worker, _ kind: FrameKind, slot: UInt16, id: UInt64, order: UInt64 = 0,
    lane: UInt32 = 0, _ outgoing: Outgoing
  ) {
    let head = Message.head(name: outgoing.name, parent: 0, lane: lane, parts: outgoing.parts) {
      outgoing.typeSizes[$0]
    }
    let size = head.count + outgoing.bodySize
    guard worker.lifecycle.phase == .ready, worker.outbox.isEmpty, size <= Wire.payloadMax else {
      worker.outbox.append(
        OutgoingMessage(
          kind: kind, slot: slot, id: id, order: order, head: head,
          parts: outgoing.parts, arena: worker.arena,
          inPlace: worker.abilities.contains(.readsInPlace)))
      return flush(worker)
    }
    // One frame: put together in the scratch buffer and sent by one call.
    FrameHeader(size: size, kind: kind, slot: slot, id: id).encode(to: sendScratch)
    var at = Wire.headerSize
    head.withUnsafeBytes {
      (sendScratch.baseAddress! + at).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
    }
    at += head.count
    for part in outgoing.parts where part.size > 0 {
      (sendScratch.baseAddress! + at).copyMemory(from: part.data!, byteCount: part.size)
      at += part.size
    }
    let sent = write(worker, UnsafeRawBufferPointer(rebasing: sendScratch[..<at]))
    if sent < at, !worker.isDeaf {
      worker.outbox.appendTail(UnsafeRawBufferPointer(rebasing: sendScratch[sent..<at]))
      watchSession(worker)
    }
  }

  /// Writes to a session as much as it takes now.
  private func write(_ worker: Worker, _ bytes: UnsafeRawBufferPointer) -> Int {
    let sent = lx_send_now(worker.session.raw, bytes.baseAddress, bytes.count)
    if sent >= 0 { return sent }
    if sent != -Int(EAGAIN) && sent != -Int(EINTR) {
      // It has shut its reading side: nothing will ever arrive. What it has sent still counts.
      worker.isDeaf = true
      worker.lifecycle.sessionClosed(now: lx_now())
      arm(worker)
    }
    return 0
  }

  /// Writes what waits, as far as the session takes it.
  func flush(_ worker: Worker) {
    guard worker.session != nil, !worker.outbox.isEmpty else { return }
    // Calls that were made before the runtime was ready wait here until it is.
    guard worker.lifecycle.phase == .ready else { return }
    if !worker.isDeaf { worker.outbox.flush { bytes in write(worker, bytes) } }
    while worker.outbox.dataSize < Bounds.channelAhead, !worker.isDeaf,
      !worker.channelsAwaitingRoom.isEmpty
    {
      pumpChannels(of: worker)
      worker.outbox.flush { bytes in write(worker, bytes) }
    }
    if worker.isDeaf { worker.outbox = Outbox() }
    worker.isChoked =
      worker.outbox.answers > (worker.isChoked ? Bounds.unreadAnswers / 2 : Bounds.unreadAnswers)
    watchSession(worker)
  }
}
