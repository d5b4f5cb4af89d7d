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

/// What workers say on their sessions.
extension Host {
  /// Reads what is there, at most one scratch buffer: other workers have their turn. False if there was nothing.
  @discardableResult
  func readSession(_ worker: Worker) -> Bool {
    let count = lx_recv_now(worker.session.raw, scratch.baseAddress, scratch.count)
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return false }
    worker.sessionReads += 1
    guard count > 0 else {
      drop(worker, .session)
      worker.lifecycle.sessionClosed(now: lx_now())
      arm(worker)
      return false
    }
    let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<count])
    // A second message may have been sent after more was written to the streams.
    if !worker.inbox.isAtBoundary || !Inbox.isOneFrame(bytes) { worker.streamsWereEmpty = false }
    do throws(WireError) {
      try worker.inbox.feed(bytes) { (header, size) throws(WireError) in
        try self.admit(header, size, worker)
      } deliver: { (arrival) throws(WireError) in
        try self.arrive(arrival, worker)
        return worker.isReading || worker.isDraining
      }
      finishReading(worker)
    } catch {
      breach(worker, error)
      return false
    }
    return true
  }

  /// Goes on with what was read and set aside: the host had no room for it, or had copied much at a time.
  func resumeSession(_ worker: Worker) {
    worker.streamsWereEmpty = false
    do throws(WireError) {
      try worker.inbox.resume { (header, size) throws(WireError) in
        try self.admit(header, size, worker)
      } deliver: { (arrival) throws(WireError) in
        try self.arrive(arrival, worker)
        return worker.isReading || worker.isDraining
      }
      finishReading(worker)
    } catch {
      breach(worker, error)
    }
  }

  /// Goes on with those that can.
  func resumeSessions() {
    let paused = pausedSessions
    pausedSessions = []
    for id in paused {
      guard let worker = workers[id] else { continue }
      worker.awaitsTurn = false
      if worker.inbox.isPaused && worker.isReading { resumeSession(worker) }
    }
  }

  /// Sees to it that `dispatch` goes on with this one.
  func takeTurn(_ worker: Worker) {
    guard worker.inbox.isPaused, worker.isReading, !worker.awaitsTurn else { return }
    worker.awaitsTurn = true
    pausedSessions.append(worker.id)
  }

  private func finishReading(_ worker: Worker) {
    let places = worker.inbox.takeCopiedPlaces()
    if !places.isEmpty { release(places, worker) }
    takeTurn(worker)
  }

  /// Tells the worker that it can use these places again.
  private func release(_ places: [Place], _ worker: Worker) {
    for start in stride(from: 0, to: places.count, by: Wire.placesMax) {
      var payload: [UInt8] = []
      for place in places[start..<min(start + Wire.placesMax, places.count)] {
        place.append(to: &payload)
      }
      worker.outbox.append(OutgoingMessage(kind: .release, head: payload))
    }
    flush(worker)
  }

  /// Takes what programs are done with that they read in place.
  func takeReturns() {
    guard let returns, !workers.isEmpty else { return }
    for (owner, place) in returns.take() {
      guard let worker = workers[owner], worker.session != nil else { continue }
      release([place], worker)
    }
  }

  /// What was sent before the end counts: it lies in the socket, and nobody writes any more. (Unless the worker handed its
  /// end to somebody outside: then what the socket holds now is all that counts, and as much as an arena holds.)
  func drainSession(_ worker: Worker) {
    worker.isDraining = true
    var rounds = 16 + Int((worker.arenaHalf ?? 0) >> 20)
    while rounds > 0, worker.session != nil || worker.inbox.isPaused {
      rounds -= 1
      if worker.inbox.isPaused {
        resumeSession(worker)
      } else if !readSession(worker) {
        break
      }
    }
  }

  private func breach(_ worker: Worker, _ error: WireError) {
    perform(worker.lifecycle.end(.breach(error), now: lx_now()), worker)
    drop(worker, .session)
    worker.inbox = Inbox()
    arm(worker)
  }

  /// What becomes of a message of which only the head was seen.
  private func admit(
    _ header: FrameHeader, _ size: Int, _ worker: Worker
  ) throws(WireError) -> Admission {
    switch header.kind {
    case .result, .failure:
      guard let call = try inFlight(header.id, worker), !call.abandoned else { return .drop }
      if header.kind == .result, let memory = call.memory { return .into(memory) }
      return .keep
    case .output:
      guard let call = try inFlight(header.id, worker), !call.abandoned else { return .drop }
      return .keep
    case .open, .data, .cancel: return try admit(header, channelMessage: size, worker)
    default: return .keep
    }
  }

  private func arrive(_ arrival: Arrival, _ worker: Worker) throws(WireError) {
    switch arrival {
    case .hello(let greeting): greeted(worker, greeting)
    case .ready: perform(worker.lifecycle.ready(), worker)
    case .stop: throw .unexpectedKind(.stop)
    case .message(let message):
      guard worker.lifecycle.phase == .ready else { throw .notReady }
      switch message.kind {
      case .result, .failure: try answered(worker, message)
      case .output: try output(worker, message)
      case .call: try called(worker, message)
      case .open: try opened(worker, message)
      case .data: try data(worker, message)
      case .cancel: try cancelled(worker, message)
      default: throw .unexpectedKind(message.kind)
      }
    case .release(let places):
      guard let arena = worker.arena else { throw .badPlaces }
      for place in places { try arena.release(place) }
      if arena.isIdle {
        worker.arenaIdleUntil = lx_now() + Bounds.arenaIdle
        arm(worker)
      }
    case .credit(let id, let amount): try credited(worker, id, amount)
    case .need(let id, let amount): try needs(worker, id, amount)
    case .end(let id): try ended(worker, id)
    case .interrupt(let wire): cancelledCall(worker, wire)
    }
  }

  private func greeted(_ worker: Worker, _ greeting: Greeting) {
    worker.messageMax = greeting.messageMax
    worker.abilities = greeting.abilities
    worker.runtime = greeting.name
    refuseLanes(worker)
    guard greeting.abilities.contains(.readsArena), let map = worker.arenaMap else { return }
    worker.arena = ArenaWriter(map, start: 0)
  }

  private func output(_ worker: Worker, _ message: Message) throws(WireError) {
    let call = try inFlight(message.id, worker)
    guard allowed(message.bodySize, worker) == message.bodySize else { return }
    guard let call, !call.abandoned else { return }
    drainStreams(worker)
    let event = Event(LAUTER_EVENT_OUTPUT, of: worker)
    event.call = call.id
    event.callCookie = call.cookie
    event.message = message
    push(event, of: worker)
  }

  private func answered(_ worker: Worker, _ message: Message) throws(WireError) {
    guard let call = try inFlight(message.id, worker) else { return }
    // What was written before the answer is told before it.
    drainStreams(worker)
    let event = Event(LAUTER_EVENT_DONE, of: worker)
    event.message = message
    event.status = message.kind == .result ? 0 : Int32(LAUTER_ERROR_FAILED)
    if call.timedOut {
      event.status = Int32(LAUTER_ERROR_TIMEOUT)
      event.error = HostError(
        LAUTER_ERROR_TIMEOUT, subject: "\(call.id)", "the call's time was up and it was interrupted"
      )
    }
    complete(call, event)
  }

  /// The call that a frame names; nil if it ended before.
  private func inFlight(_ id: UInt64, _ worker: Worker) throws(WireError) -> Call? {
    if let call = worker.call(id) { return call }
    guard id > 0, id < nextCall else { throw .unknownCall(id) }
    return nil
  }
}
