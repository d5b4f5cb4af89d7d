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

/// Blocking forms. Nobody sleeps with the lock, and who waits for one worker sleeps on that worker's descriptors alone.
/// EINTR goes to the caller: a handler of the host's ran, and it may want to act on it (Python's Ctrl-C).
extension Host {
  /// True once there is something to take or to do, false when the time is up.
  package func wait(milliseconds: Int64) throws(HostError) -> Bool {
    try checkFork()
    var poll = pollfd(fd: epoll.raw, events: Int16(POLLIN), revents: 0)
    let result = lx_poll(
      &poll, 1, milliseconds < 0 ? -1 : Int64(Bounds.nanoseconds(UInt64(milliseconds))))
    if result < 0 { throw pollError(result) }
    return result > 0
  }

  package func waitReady(_ id: UInt64, milliseconds: Int64) throws(HostError) {
    try checkFork()
    let worker = try locked { () throws(HostError) -> Worker in try self.worker(id) }
    _ = try sleep(for: worker, milliseconds, until: .ready)
  }

  /// Why a worker that has ended was never ready, or is not any more.
  private func notReady(_ worker: Worker) -> HostError {
    if let error = worker.ending?.error { return error }
    var message = "worker \(worker.id) ended: \(worker.ending?.report?.why ?? "")"
    // A runtime that cannot start says why on its standard error.
    let lines = worker.stderrTail.split(separator: UInt8(ascii: "\n"))
    if let last = lines.last { message += "; it said: \(String(decoding: last, as: UTF8.self))" }
    return HostError(LAUTER_ERROR_DIED, subject: "\(worker.id)", message)
  }

  package func waitExit(_ id: UInt64, milliseconds: Int64) throws(HostError) -> Event {
    try checkFork()
    let worker = try locked { () throws(HostError) -> Worker in try self.worker(id) }
    _ = try sleep(for: worker, milliseconds, until: .exit)
    return try locked { () throws(HostError) in
      guard workers[id] === worker, let queued = worker.ending else { throw .staleWorker(id) }
      let event = Event(copying: queued)
      queue.void { $0.worker == id }
      calls = calls.filter { $0.value.worker !== worker }
      channels = channels.filter { $0.value.worker !== worker }
      workers[id] = nil
      return event
    }
  }

  private func dropUntaken(_ worker: Worker) {
    // What makes room may bring new events.
    for event in queue.all(where: { $0.worker == worker.id && $0.message != nil }) {
      settle(event)
      queue.void(event)
    }
  }

  package func waitCall(_ id: UInt64, milliseconds: Int64) throws(HostError) -> Event {
    try checkFork()
    let (call, ended) = try locked { () throws(HostError) -> (Call, Event?) in
      guard let call = calls[id], !call.abandoned || call.done != nil, !call.isAwaited else {
        throw .staleCall(id)
      }
      if let queued = call.done {
        // It ended before anybody waited for it: out of the middle of the queue.
        let event = Event(copying: queued)
        settle(queued)
        queue.void(queued)
        return (call, event)
      }
      call.isAwaited = true
      return (call, nil)
    }
    if let ended { return ended }
    do throws(HostError) {
      return try sleep(for: call.worker, milliseconds, until: .call(call))!
    } catch {
      locked { endAwait(call) }
      throw error
    }
  }

  /// What a thread sleeps for.
  enum Awaited {
    case ready
    case exit
    case call(Call)
    case channel(Channel)
    case opening(Opening)
  }

  /// Whether it is there, with the event that it is; asked with the lock held.
  private func take(
    _ awaited: Awaited, of worker: Worker
  ) throws(HostError) -> (isThere: Bool, event: Event?) {
    switch awaited {
    case .ready:
      switch worker.lifecycle.phase {
      case .ready: return (true, nil)
      case .launching, .running: return (false, nil)
      case .gone: throw notReady(worker)
      }
    case .exit:
      // Who waits for the end alone does not take its messages: they must not hold it up.
      if worker.isStuffed { dropUntaken(worker) }
      return (worker.lifecycle.phase == .gone, nil)
    case .call(let call):
      if let done = call.done, calls[call.id] === call {
        call.isAwaited = false
        calls[call.id] = nil
        return (true, done)
      }
      if call.abandoned || calls[call.id] !== call { throw .staleCall(call.id) }
      try checkTaken(worker)
      return (false, nil)
    case .channel(let channel):
      if let queued = channel.nextEvent {
        let event = Event(copying: queued)
        settle(queued)
        queue.void(queued)
        return (true, event)
      }
      if channels[channel.id] !== channel { throw .staleChannel(channel.id) }
      try checkTaken(worker)
      return (false, nil)
    case .opening(let opening): return (opening.done != nil, opening.done)
    }
  }

  /// Whether what a thread waits for can come: not while the session is not read.
  private func checkTaken(_ worker: Worker) throws(HostError) {
    guard worker.isStuffed else { return }
    throw HostError(
      LAUTER_ERROR_LIMIT, subject: "\(worker.id)",
      "worker \(worker.id) has sent more than is kept: take its events first")
  }

  /// Nobody awaits this call any more. If it ended meanwhile, its event goes the ordinary way.
  private func endAwait(_ call: Call) {
    call.isAwaited = false
    guard let event = call.done, calls[call.id] === call else { return }
    push(event, of: call.worker)
  }

  // MARK: Sleeping

  private func pollError(_ result: Int) -> HostError {
    if result == -Int(EINTR) {
      return HostError(LAUTER_ERROR_INTERRUPTED, errno: EINTR, "a signal handler ran: call again")
    }
    return HostError(
      KernelError(call: "ppoll", errno: Int32(-result)), doing: "waiting for a worker")
  }

  /// Sleeps, doing this worker's work, until it is there or the time is up.
  func sleep(
    for worker: Worker, _ milliseconds: Int64, until awaited: Awaited
  ) throws(HostError) -> Event? {
    var event: Event?
    let end: UInt64? = milliseconds < 0 ? nil : lx_now() + Bounds.nanoseconds(UInt64(milliseconds))
    var waiter: Waiter?
    defer { if let waiter { locked { giveBack(waiter, worker) } } }
    try withUnsafeTemporaryAllocation(of: pollfd.self, capacity: Polled.count) {
      (polls) throws(HostError) in
      var hasSlept = false
      var reads: UInt64 = 0
      while true {
        let due = try locked { () throws(HostError) -> UInt64? in
          defer { ownWaiter = nil }
          takeReturns()
          if hasSlept {
            ownWaiter = waiter
            waiter?.clear()
            work(polls, worker, reads)
          }
          let (isThere, came) = try take(awaited, of: worker)
          if isThere {
            event = came
            if let own = waiter { giveBack(own, worker) }
            waiter = nil
            return nil
          }
          // Whatever poll said: a worker that always has something to read must not keep its host here.
          if hasSlept, let end, lx_now() >= end {
            throw HostError(
              LAUTER_ERROR_TIMEOUT, "worker \(worker.id): the time was up after \(milliseconds) ms")
          }
          if waiter == nil { waiter = try takeWaiter(worker) }
          fill(polls, worker, waiter!)
          reads = worker.sessionReads
          // What was set aside is not in the socket: nothing would tell.
          return worker.inbox.isPaused && worker.isReading ? 0 : worker.deadline ?? .max
        }
        guard let due else { return }
        let until = min(due, end ?? .max)
        var time: Int64 = -1
        if until != .max {
          let now = lx_now()
          time = until <= now ? 0 : Int64(until - now)
        }
        let result = lx_poll(polls.baseAddress, Polled.count, time)
        if result < 0 { throw pollError(result) }
        hasSlept = true
      }
    }
    return event
  }

  /// What a sleeper polls. The session is looked at before the streams: see `work`.
  private enum Polled {
    static let session = 0
    static let others = 1
    static let stdin = 2
    static let waiter = 3
    static let count = 4
  }

  private func fill(
    _ polls: UnsafeMutableBufferPointer<pollfd>, _ worker: Worker, _ waiter: Waiter
  ) {
    var events = Int16(worker.isReading ? POLLIN : 0)
    if worker.lifecycle.phase == .ready && !worker.outbox.isEmpty { events |= Int16(POLLOUT) }
    polls[Polled.session] = pollfd(fd: worker.session.raw, events: events, revents: 0)
    polls[Polled.others] = pollfd(fd: worker.others.raw, events: Int16(POLLIN), revents: 0)
    polls[Polled.stdin] = pollfd(
      fd: worker.stdinQueue.isEmpty ? -1 : worker.stdin.raw, events: Int16(POLLOUT), revents: 0)
    polls[Polled.waiter] = pollfd(fd: waiter.fd.raw, events: Int16(POLLIN), revents: 0)
  }

  private func work(
    _ polls: UnsafeMutableBufferPointer<pollfd>, _ worker: Worker, _ readsBefore: UInt64
  ) {
    // poll's and epoll's bits are the same.
    func told(_ index: Int) -> UInt32 { UInt32(UInt16(bitPattern: polls[index].revents)) }
    if worker.inbox.isPaused && worker.isReading { resumeSession(worker) }
    if told(Polled.session) != 0 {
      // poll looked at the session before it looked at the streams: what was in the session then, and nobody else has
      // taken since, was sent when there was nothing in them. That saves each call two reads in vain.
      worker.streamsWereEmpty =
        told(Polled.others) == 0 && worker.sessionReads == readsBefore
        // What is on its way through a terminal is in nobody's ready list yet; a read finds it.
        && worker.launch.terminal == nil
      handle(worker, .session, told(Polled.session))
      worker.streamsWereEmpty = false
    }
    if told(Polled.others) != 0 { dispatchOthers(of: worker) }
    if told(Polled.stdin) != 0 { handle(worker, .stdin, told(Polled.stdin)) }
    if let deadline = worker.deadline {
      let now = lx_now()
      if deadline <= now { runTimers(of: worker, now: now) }
    }
  }

  /// Does the work of a worker's descriptors besides the session.
  private func dispatchOthers(of worker: Worker) {
    let capacity = Watched.allCases.count
    withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: capacity) { events in
      let count = lx_epoll_wait(worker.others.raw, events.baseAddress, Int32(capacity), 0)
      guard count > 0 else { return }
      for index in 0..<count {
        guard let watched = Watched(rawValue: events[index].data.u64 & 7) else { continue }
        handle(worker, watched, events[index].events)
      }
    }
  }

  /// A waiter for a thread that will sleep. The lock is held.
  private func takeWaiter(_ worker: Worker) throws(HostError) -> Waiter {
    do throws(KernelError) {
      try watchOthers(of: worker)
      let waiter: Waiter
      if let spare = spareWaiters.popLast() {
        waiter = spare
      } else {
        waiter = Waiter(OwnedFD(adopting: Int32(try check("eventfd", lx_eventfd()))))
      }
      worker.waiters.append(waiter)
      return waiter
    } catch {
      throw HostError(error, doing: "waiting for a worker")
    }
  }

  /// The descriptors besides the session as one: each that a sleeper polls costs every call a little. Made for the first
  /// who sleeps; a host that only dispatches does without.
  private func watchOthers(of worker: Worker) throws(KernelError) {
    guard worker.others == nil, worker.lifecycle.phase != .gone else { return }
    var others = OwnedFD(adopting: Int32(try check("epoll_create1", lx_epoll_create())))
    others.move(from: Worker.leastDescriptor)
    for watched in [Watched.control, .stdout, .stderr, .pidfd] where worker.descriptor(watched) >= 0
    {
      try check(
        "epoll_ctl",
        lx_epoll_ctl(
          others.raw, EPOLL_CTL_ADD, worker.descriptor(watched), EPOLLIN.rawValue,
          worker.key(watched)))
    }
    worker.others = consume others
  }

  private func giveBack(_ waiter: Waiter, _ worker: Worker) {
    if let index = worker.waiters.firstIndex(where: { $0 === waiter }) {
      worker.waiters.remove(at: index)
    }
    waiter.clear()
    spareWaiters.append(waiter)
  }
}
