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
    try sleep(for: worker, milliseconds) { () throws(HostError) in
      switch worker.lifecycle.phase {
      case .ready: return true
      case .launching, .running: return false
      case .gone: throw self.notReady(worker)
      }
    }
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
    try sleep(for: worker, milliseconds) {
      // Who waits for the end alone does not take its messages: they must not hold it up.
      if worker.isPaused { self.dropUntaken(worker) }
      return worker.lifecycle.phase == .gone
    }
    return try locked { () throws(HostError) in
      guard workers[id] === worker, let queued = worker.ending else { throw .staleWorker(id) }
      let event = Event(copying: queued)
      queue.void { $0.worker == id }
      calls = calls.filter { $0.value.worker !== worker }
      workers[id] = nil
      return event
    }
  }

  private func dropUntaken(_ worker: Worker) {
    queue.void {
      guard $0.worker == worker.id, $0.message != nil else { return false }
      settle($0)
      return true
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
    defer { locked { endAwait(call) } }
    try sleep(for: call.worker, milliseconds) { () throws(HostError) in
      if call.done != nil { return true }
      if call.abandoned { throw .staleCall(id) }
      if call.worker.isPaused {
        throw HostError(
          LAUTER_ERROR_LIMIT, subject: "\(call.worker.id)",
          "worker \(call.worker.id) has sent more than is kept: take its events first")
      }
      return false
    }
    return try locked { () throws(HostError) in
      guard let event = call.done, calls[id] === call else { throw .staleCall(id) }
      calls[id] = nil
      return event
    }
  }

  /// Nobody awaits this call any more. If it ended meanwhile, its event goes the ordinary way.
  private func endAwait(_ call: Call) {
    call.isAwaited = false
    guard let event = call.done, calls[call.id] === call else { return }
    push(event, of: call.worker)
  }

  // MARK: Sleeping

  private func nanoseconds(_ milliseconds: Int64) -> Int64 {
    min(milliseconds, 1 << 40) * 1_000_000
  }

  private func pollError(_ result: Int) -> HostError {
    if result == -Int(EINTR) {
      return HostError(LAUTER_ERROR_INTERRUPTED, errno: EINTR, "a signal handler ran: call again")
    }
    return HostError(
      KernelError(call: "ppoll", errno: Int32(-result)), doing: "waiting for a worker")
  }

  /// Sleeps, doing this worker's work, until `isDone` (asked with the lock held) or the time is up.
  private func sleep(
    for worker: Worker, _ milliseconds: Int64, until isDone: () throws(HostError) -> Bool
  ) throws(HostError) {
    let end: UInt64? = milliseconds < 0 ? nil : lx_now() + Bounds.nanoseconds(UInt64(milliseconds))
    let waiter = try takeWaiter(worker)
    defer { giveBack(waiter, worker) }
    let capacity = Watched.allCases.count + 1
    try withUnsafeTemporaryAllocation(of: pollfd.self, capacity: capacity) {
      (polls) throws(HostError) in
      while true {
        var reads: UInt64 = 0
        let due = try locked { () throws(HostError) -> UInt64? in
          ownWaiter = waiter
          defer { ownWaiter = nil }
          if try isDone() { return 0 }
          fill(polls, worker, waiter)
          reads = worker.sessionReads
          return worker.deadline ?? .max
        }
        if due == 0 { return }
        let now = lx_now()
        let until = min(due ?? .max, end ?? .max)
        let time: Int64 = until == .max ? -1 : until <= now ? 0 : Int64(until - now)
        let result = lx_poll(polls.baseAddress, capacity, time)
        if result < 0 { throw pollError(result) }
        locked {
          ownWaiter = waiter
          defer { ownWaiter = nil }
          waiter.clear()
          work(polls, worker, reads)
        }
        // Whatever poll said: a worker that always has something to read must not keep its host here.
        if let end, lx_now() >= end {
          guard try locked({ () throws(HostError) in try isDone() }) else {
            throw HostError(
              LAUTER_ERROR_TIMEOUT, "worker \(worker.id): the time was up after \(milliseconds) ms")
          }
          return
        }
      }
    }
  }

  private func fill(
    _ polls: UnsafeMutableBufferPointer<pollfd>, _ worker: Worker, _ waiter: Waiter
  ) {
    for (index, watched) in Watched.allCases.enumerated() {
      var events = Int16(POLLIN)
      var fd = worker.descriptor(watched)
      switch watched {
      case .session:
        if !worker.isReading { events = 0 }
        if worker.lifecycle.phase == .ready && !worker.outbox.isEmpty { events |= Int16(POLLOUT) }
      case .stdin:
        events = Int16(POLLOUT)
        if worker.stdinQueue.isEmpty { fd = -1 }
      default: break
      }
      polls[index] = pollfd(fd: fd, events: events, revents: 0)
    }
    polls[Watched.allCases.count] = pollfd(fd: waiter.fd.raw, events: Int16(POLLIN), revents: 0)
  }

  private func work(
    _ polls: UnsafeMutableBufferPointer<pollfd>, _ worker: Worker, _ readsBefore: UInt64
  ) {
    // poll looked at the session before it looked at the streams: what was in the session then, and nobody else has
    // taken since, was sent when there was nothing in them. That saves each call two reads in vain.
    let areEmpty =
      polls[Int(Watched.stdout.rawValue)].revents == 0
      && polls[Int(Watched.stderr.rawValue)].revents == 0
    worker.streamsWereEmpty = areEmpty && worker.sessionReads == readsBefore
    for (index, watched) in Watched.allCases.enumerated() where polls[index].revents != 0 {
      // poll's and epoll's bits are the same.
      handle(worker, watched, UInt32(UInt16(bitPattern: polls[index].revents)))
      worker.streamsWereEmpty = false
    }
    worker.streamsWereEmpty = false
    if let deadline = worker.deadline {
      let now = lx_now()
      if deadline <= now { runTimers(of: worker, now: now) }
    }
  }

  private func takeWaiter(_ worker: Worker) throws(HostError) -> Waiter {
    try locked { () throws(HostError) in
      let waiter: Waiter
      if let spare = spareWaiters.popLast() {
        waiter = spare
      } else {
        do throws(KernelError) {
          waiter = try Waiter()
        } catch {
          throw HostError(error, doing: "waiting for a worker")
        }
      }
      worker.waiters.append(waiter)
      return waiter
    }
  }

  private func giveBack(_ waiter: Waiter, _ worker: Worker) {
    locked {
      if let index = worker.waiters.firstIndex(where: { $0 === waiter }) {
        worker.waiters.remove(at: index)
      }
      waiter.clear()
      spareWaiters.append(waiter)
    }
  }
}
