// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

extension Host {
  /// Does what the descriptor says is due, for at most a round of workers. The lock is held.
  func dispatch() throws(HostError) {
    resumeSessions()
    let capacity = 64
    let result = withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: capacity) { events in
      let count = lx_epoll_wait(epoll.raw, events.baseAddress, Int32(capacity), 0)
      guard count > 0 else { return count }
      for index in 0..<count {
        let key = events[index].data.u64
        if key == 1 { tick() }
        if key == 2 { takeReturns() }
        // `wake` (key 0) is level-triggered and only announces the queue; the rest are workers.
        guard key >= 8, let worker = workers[key >> 3], let watched = Watched(rawValue: key & 7)
        else { continue }
        handle(worker, watched, events[index].events)
      }
      return count
    }
    if result < 0 && result != -Int(EINTR) {
      throw HostError(
        KernelError(call: "epoll_wait", errno: Int32(-result)), doing: "waiting for workers")
    }
  }

  /// The timer went off.
  private func tick() {
    var expirations: UInt64 = 0
    _ = lx_read(timer.raw, &expirations, 8)
    timerSetTo = 0
    let now = lx_now()
    while let id = timers.popDue(now: now) {
      guard let worker = workers[id] else { continue }
      worker.armedAt = .max
      runTimers(of: worker, now: now)
    }
    setTimer()
  }

  /// Does what is due of one worker.
  func runTimers(of worker: Worker, now: UInt64) {
    guard worker.lifecycle.phase != .gone else { return }
    if let idle = worker.arenaIdleUntil, idle <= now {
      worker.arenaIdleUntil = nil
      worker.arena?.giveBack()
    }
    if !worker.openings.isEmpty { lookAtOpenings(of: worker, now: now) }
    perform(worker.lifecycle.timer(now: now), worker)
    let time = worker.lifecycle.ownTime(now)
    // While it is paused no call's time goes on.
    for call in worker.lifecycle.isPaused ? [] : worker.calls {
      guard let deadline = call.deadline, deadline <= time else { continue }
      if call.timedOut {
        guard call.mayRun else {
          giveUp(call)
          continue
        }
        call.deadline = nil
        perform(worker.lifecycle.end(.overdue, now: now), worker)
      } else {
        call.timedOut = true
        call.deadline = time &+ call.graceNanoseconds
        interrupt(call)
      }
    }
    arm(worker)
  }

  /// A call's time and grace are up while others are before it: it is done with, and ends at once when it begins. The
  /// worker, which is at work on another call, has done nothing wrong.
  private func giveUp(_ call: Call) {
    let event = Event(LAUTER_EVENT_DONE, of: call.worker)
    event.status = Int32(LAUTER_ERROR_TIMEOUT)
    event.error = HostError(
      LAUTER_ERROR_TIMEOUT, subject: "\(call.id)", "the call's time was up before it began")
    call.deadline = nil
    letGo(call)
    hand(event, over: call)
    call.abandoned = true
  }

  func handle(_ worker: Worker, _ watched: Watched, _ events: UInt32) {
    guard worker.lifecycle.phase != .gone, worker.descriptor(watched) >= 0 else { return }
    switch watched {
    case .session:
      if events & EPOLLOUT.rawValue != 0 { flush(worker) }
      if events & ~EPOLLOUT.rawValue != 0 && worker.isReading {
        if worker.inbox.isPaused { resumeSession(worker) } else { readSession(worker) }
      }
    case .control: readControl(worker)
    case .stdout: readStream(worker, .stdout)
    case .stderr: readStream(worker, .stderr)
    case .stdin:
      // The reading end is closed, or of a terminal the other one: nothing will ever be read, and poll says so without
      // end.
      if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 {
        drop(worker, .stdin)
      } else {
        flushStdin(worker)
      }
    case .pidfd: finish(worker)
    }
  }

  func perform(_ actions: [Lifecycle.Action], _ worker: Worker) {
    for action in actions {
      switch action {
      case .tellStarted:
        push(Event(LAUTER_EVENT_STARTED, of: worker), of: worker)
        if worker.launch.terminal != nil { flushStdin(worker) }
      case .tellReady:
        let event = Event(LAUTER_EVENT_READY, of: worker)
        event.runtime = worker.runtime
        push(event, of: worker)
        flush(worker)
      case .ask:
        worker.outbox.append(OutgoingMessage(kind: .stop))
        flush(worker)
      case .terminate:
        worker.order(.signal(15, group: true))
        // Who is stopped takes no signal but this.
        if worker.isSuspended { worker.order(.signal(SIGCONT, group: true)) }
      case .pause: worker.order(.pause)
      case .resume: worker.order(.resume)
      case .kill: worker.order(.signal(9, group: false))
      case .destroy: worker.destroy()
      }
    }
    if !actions.isEmpty { wakeWaiters(of: worker) }
  }

  // MARK: Control

  private func readControl(_ worker: Worker) {
    while true {
      let count =
        worker.awaitsTerminal || worker.nextOpening > 1
        ? receiveWithDescriptor(worker)
        : lx_recv_now(worker.control.raw, scratch.baseAddress, scratch.count)
      if count == -Int(EAGAIN) || count == -Int(EINTR) { return }
      guard count > 0 else { return drop(worker, .control) }
      let packet = [UInt8](scratch[..<count])
      guard let notice = Control.Notice(decoding: packet) else {
        perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
        return drop(worker, .control)
      }
      if case .started = notice, worker.awaitsTerminal {
        perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
      }
      switch notice {
      case .suspended(let signal): suspended(worker, by: signal)
      case .violationsUntold: worker.missing.append("violations")
      case .denied(let violation): denied(worker, violation)
      case .failed(_, ESTALE, _): lacksView = true
      default: break
      }
      perform(worker.lifecycle.notice(notice), worker)
    }
  }

  // MARK: Calls

  /// A call is over: its event goes to who awaits it, or into the queue.
  func complete(_ call: Call, _ event: Event) {
    call.worker.remove(call)
    letGo(call)
    if !call.abandoned {
      hand(event, over: call)
    } else if call.done == nil {
      calls[call.id] = nil
    }
  }

  /// The call stays in `calls` until its end is taken: by who awaits it, or out of the queue.
  private func hand(_ event: Event, over call: Call) {
    event.call = call.id
    event.callCookie = call.cookie
    call.done = event
    if call.isAwaited { wakeWaiters(of: call.worker) } else { push(event, of: call.worker) }
  }

  // MARK: Streams

  private func readStream(_ worker: Worker, _ watched: Watched) {
    let count = lx_read(worker.descriptor(watched), scratch.baseAddress, Bounds.streamEvent)
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return }
    guard count > 0 else { return drop(worker, watched) }
    keep(UnsafeRawBufferPointer(rebasing: scratch[..<count]), worker, watched)
  }

  /// Reads what the pipes hold by now, and no more than they can hold: a writer that goes on must not keep us here.
  func drainStreams(_ worker: Worker) {
    if worker.streamsWereEmpty { return }
    for watched in [Watched.stdout, .stderr] {
      var budget = Bounds.streamBytes
      while budget > 0, worker.descriptor(watched) >= 0 {
        // Not the scratch buffer: the session's bytes are in it.
        let count = withUnsafeTemporaryAllocation(byteCount: 1 << 14, alignment: 16) { buffer in
          let count = lx_read(worker.descriptor(watched), buffer.baseAddress, buffer.count)
          if count > 0 {
            keep(UnsafeRawBufferPointer(rebasing: buffer[..<count]), worker, watched)
          }
          return count
        }
        if count == 0 { drop(worker, watched) }
        guard count > 0 else { break }
        budget -= count
      }
    }
  }

  /// How many of the next `count` bytes of output the policy lets the worker make. With fewer than it made it is killed,
  /// and makes none any more.
  func allowed(_ count: Int, _ worker: Worker) -> Int {
    guard let left = worker.outputLeft else { return count }
    let allowed = min(UInt64(count), left)
    worker.outputLeft = left - allowed
    if allowed < count {
      worker.outputLeft = 0
      perform(worker.lifecycle.end(.outputLimit, now: lx_now()), worker)
      arm(worker)
    }
    return Int(allowed)
  }

  private func keep(_ written: UnsafeRawBufferPointer, _ worker: Worker, _ watched: Watched) {
    // Only the program writes there: it runs, though init's word of it is still on its way.
    if worker.lifecycle.phase == .launching { perform(worker.lifecycle.notice(.started), worker) }
    let bytes = UnsafeRawBufferPointer(rebasing: written[..<allowed(written.count, worker)])
    guard bytes.count > 0 else { return }
    let stream = watched == .stdout ? LAUTER_STREAM_STDOUT : LAUTER_STREAM_STDERR
    if watched == .stderr {
      worker.stderrTail.append(contentsOf: bytes.suffix(Bounds.stderrTail))
      if worker.stderrTail.count > 2 * Bounds.stderrTail {
        worker.stderrTail.removeFirst(worker.stderrTail.count - Bounds.stderrTail)
      }
    }
    if let last = queue.last, last.kind == LAUTER_EVENT_STREAM, last.worker == worker.id,
      last.stream == stream, last.bytes.count + bytes.count <= Bounds.streamEvent
    {
      last.bytes.append(contentsOf: bytes)
      worker.streamBytes += bytes.count
    } else {
      let event = Event(LAUTER_EVENT_STREAM, of: worker)
      event.stream = stream
      event.bytes = [UInt8](bytes)
      worker.streamEvents.append(event)
      worker.streamBytes += bytes.count + Bounds.eventCost
      push(event, of: worker)
    }
    while worker.streamBytes > Bounds.streamBytes { dropOldest(worker) }
  }

  /// Nobody has taken this worker's output in time: the oldest goes, and a DROPPED event in its place says so.
  private func dropOldest(_ worker: Worker) {
    let oldest = worker.streamEvents[worker.streamHead]
    worker.streamHead += 1
    worker.streamBytes -= oldest.bytes.count + Bounds.eventCost
    let isStdout = oldest.stream == LAUTER_STREAM_STDOUT
    if let earlier = isStdout ? worker.droppedStdout : worker.droppedStderr {
      earlier.dropped += UInt64(oldest.bytes.count)
      queue.void(oldest)
    } else {
      oldest.kind = LAUTER_EVENT_DROPPED
      oldest.dropped = UInt64(oldest.bytes.count)
      oldest.bytes = []
      if isStdout { worker.droppedStdout = oldest } else { worker.droppedStderr = oldest }
    }
    if worker.streamHead > 32 && worker.streamHead * 2 > worker.streamEvents.count {
      worker.streamEvents.removeFirst(worker.streamHead)
      worker.streamHead = 0
    }
  }

  // MARK: The end

  /// Init's pidfd is readable: every process of the worker is gone.
  private func finish(_ worker: Worker) {
    if worker.control != nil { readControl(worker) }
    // What was sent before the end counts: it lies in the socket and the pipes, and nobody writes any more.
    // (Unless it handed its end to somebody outside: then what the socket holds now is all that counts.)
    drainSession(worker)
    drainStreams(worker)
    _ = claunch_reap(worker.pidfd.raw)
    if worker.lifecycle.exit == nil { tellInsteadOfInit(worker) }
    worker.lifecycle.gone()
    for watched in Watched.allCases { drop(worker, watched) }
    worker.others = nil

    let failure = launchFailure(of: worker)
    let report = report(on: worker, failure)
    // With one that refused a worker, or had no memory left, no other begins.
    giveBack(
      worker.groups.groups, fit: failure == nil && worker.lifecycle.exit?.memoryLimit == false)
    worker.groups.groups = []
    let ending = endingError(of: worker, report, failure)
    for call in worker.calls {
      let event = Event(LAUTER_EVENT_DONE, of: worker)
      event.status = Int32(LAUTER_ERROR_DIED)
      if call.timedOut {
        event.status = Int32(LAUTER_ERROR_TIMEOUT)
      } else if report.reason == LAUTER_REASON_PROTOCOL {
        event.status = Int32(LAUTER_ERROR_PROTOCOL)
      }
      event.error = HostError(
        Int(event.status), subject: "\(worker.id)", "the worker ended: \(report.why)")
      complete(call, event)
    }
    let error = HostError(
      LAUTER_ERROR_DIED, subject: "\(worker.id)", "the worker ended: \(report.why)")
    endOpenings(of: worker, error)
    for channel in worker.channels.values {
      close(channel, Int32(LAUTER_ERROR_DIED), error: error)
    }
    worker.channelsAwaitingRoom = []
    for call in worker.incoming { incoming[call.host] = nil }
    worker.incoming = []
    let event = Event(LAUTER_EVENT_EXITED, of: worker)
    event.error = ending
    event.report = report
    worker.ending = event
    push(event, of: worker)
    wakeWaiters(of: worker)
  }

  /// Where init is in the worker's group, the kernel ends it with all others when there is no memory left.
  private func tellInsteadOfInit(_ worker: Worker) {
    guard worker.groups.tree.beginsInGroup,
      let used = worker.groups.groups.first?.endedForMemory()
    else { return }
    var exit = Control.Exit()
    exit.signal = SIGKILL
    exit.memoryLimit = true
    (exit.userMicroseconds, exit.systemMicroseconds) = used
    _ = worker.lifecycle.notice(.exited(exit))
  }

  private func launchFailure(of worker: Worker) -> HostError? {
    guard let failure = worker.lifecycle.failure else { return nil }
    return HostError(
      launchStep: failure.step, errno: failure.errno, of: failure.call, plan: worker.plan,
      policy: worker.policy)
  }

  private func report(on worker: Worker, _ failure: HostError?) -> Report {
    var report = Report()
    let exit = worker.lifecycle.exit ?? Control.Exit()
    (report.reason, report.why) = worker.lifecycle.reason(
      limits: LimitsTold(worker.policy), launchFailure: failure?.message,
      blocked: worker.denials.first?.sentence)
    report.exitCode = exit.code
    report.signal = exit.signal
    report.rung = report.reason == LAUTER_REASON_STOPPED ? worker.lifecycle.rung : LAUTER_RUNG_NONE
    report.coreDumped = exit.dumpedCore
    report.wallMicroseconds = (lx_now() - worker.spawnedAt) / 1000
    report.userMicroseconds = exit.userMicroseconds
    report.systemMicroseconds = exit.systemMicroseconds
    report.peakBytes = exit.peakKiB << 10
    report.memoryBy = "\(worker.groups.tree.memory.name)"
    report.treePeakBytes = max(worker.groups.peak, exit.treePeakKiB << 10)
    report.label = worker.launch.label
    report.stderrTail = Array(worker.stderrTail.suffix(Bounds.stderrTail))
    report.denials = worker.denials
    for word in worker.missing { report.missing += word + "\n" }
    return report
  }

  /// The error of an EXITED event, where there is one.
  private func endingError(of worker: Worker, _ report: Report, _ failure: HostError?) -> HostError?
  {
    switch report.reason {
    case LAUTER_REASON_LAUNCH: return failure
    case LAUTER_REASON_PROTOCOL:
      return HostError(LAUTER_ERROR_PROTOCOL, subject: "\(worker.id)", report.why)
    case LAUTER_REASON_DEADLINE:
      if case .notReady = worker.lifecycle.verdict {
        return HostError(LAUTER_ERROR_TIMEOUT, subject: "ready-timeout", report.why)
      }
      return HostError(LAUTER_ERROR_TIMEOUT, subject: "\(worker.id)", report.why)
    default: return nil
    }
  }
}
