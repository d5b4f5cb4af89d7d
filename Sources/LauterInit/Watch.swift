// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// Init once the worker is forked: it reaps, forwards, keeps the times, pauses, and ends with the worker or with the
/// host.
///
/// Before `run`, nothing in it may have memory of its own (an array, a string): that is forgotten by then.
struct Watch: ~Copyable {
  /// SIGCHLD, read from a descriptor: a handler would let the worker's signals in.
  static let signals: UInt64 = 1 << UInt64(SIGCHLD - 1)
  /// SIGTTOU. Blocked, it lets init and the worker before its program choose their terminal's foreground.
  static let backgroundWrite: UInt64 = 1 << UInt64(SIGTTOU - 1)

  /// Milliseconds, so that no sum overflows: a hundred years.
  private static let longest: UInt64 = 100 * 365 * 86_400 * 1_000

  private let worker: Int32
  private let signalFD: OwnedFD
  private var processes: Processes
  private var kept: Kept
  /// In nanoseconds of `time`; nil without a limit.
  private var deadline: UInt64?
  private var cpuLimit: CPULimit?
  private var pause: Pause?
  /// When the host wanted the pause to end, on the monotonic clock; nil if it does not.
  private var resumeAsked: UInt64?
  /// How long the worker was paused before, in nanoseconds.
  private var paused: UInt64 = 0
  private var hitWallLimit = false
  private var hitCPULimit = false
  private var ranPaused = false
  private var killed = false
  /// Nil without a terminal.
  private var job: TerminalJob?
  private var violations: Violations
  private var openings = Openings()
  private var groups: Groups
  private var memoryLimit: MemoryLimit?
  private var memory = MemorySum([], arena: -1)
  /// CPU time at the last look at memory.
  private var cpuAtLook: UInt64 = 0
  private var ranOutOfMemory = false
  /// The kernel has no memory for the worker's group, and is choosing whom to kill.
  private var expectKillUntil: UInt64?

  /// Start the worker, which takes the steps of `plan` from `index` on. Returns once its program runs.
  init(
    starting plan: Plan, from index: Int, _ execution: Execution, _ kept: consuming Kept
  ) throws(StepFailure) {
    let proc = kept.processes.take()
    // A worker whose processes cannot be seen cannot be limited either.
    if (execution.cpuMilliseconds > 0 || Watch.sumsMemory(plan)) && proc == nil {
      kept.removeScratch()
      throw StepFailure(step: UInt32(plan.steps.count), errno: EINVAL, call: "plan")
    }
    var child = Worker(plan, from: index, execution)
    // No interrupt of the host's may arrive before this.
    let (signals, pid) = try at(plan.steps.count) { () throws(KernelError) in
      if execution.ignoresInterrupt { try check("signal", lx_signal_ignore(SIGINT, 1)) }
      // Again: the change of the user id may have undone it.
      try check("prctl", lx_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
      let signals = try check("signalfd", lx_signalfd(Watch.signals, O_CLOEXEC | O_NONBLOCK))
      return (Int32(signals), try child.fork())
    }
    if let failure = child.failure {
      kept.removeScratch()
      throw failure
    }
    worker = pid
    signalFD = OwnedFD(adopting: signals)
    processes = Processes(proc, guardian: kept.guardian)
    self.kept = kept
    groups = Groups(plan)
    violations = Violations(child.listener, execution.violations)
    if execution.hasTerminal { job = TerminalJob(worker: pid) }
    if execution.wallMilliseconds > 0 {
      let wall = min(execution.wallMilliseconds, Watch.longest) * 1_000_000
      deadline = lx_now() + wall
    }
    if execution.cpuMilliseconds > 0 {
      cpuLimit = CPULimit(
        milliseconds: execution.cpuMilliseconds, processors: lx_processors(), now: lx_now())
    }
    for case .sumMemory(let bytes, let places) in plan.steps {
      memory = MemorySum(places, arena: InitDescriptor.arena)
      memoryLimit = MemoryLimit(bytes: bytes, processors: lx_processors(), now: lx_now())
    }
    if execution.violations != .none && child.listener < 0 { tell(.violationsUntold) }
    tell(.started)
  }

  private static func sumsMemory(_ plan: Plan) -> Bool {
    plan.steps.contains { if case .sumMemory = $0 { true } else { false } }
  }

  /// Until the worker's end or the host's. Returns init's exit code.
  mutating func run() -> Int32 {
    letGo()
    var fds: [pollfd] = [
      pollfd(fd: InitDescriptor.control, events: Int16(POLLIN), revents: 0),
      pollfd(fd: InitDescriptor.hostPidfd, events: Int16(POLLIN), revents: 0),
      pollfd(fd: signalFD.raw, events: Int16(POLLIN), revents: 0),
      pollfd(fd: violations.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: groups.bell, events: Int16(POLLIN), revents: 0),
    ]
    while true {
      let count = lx_poll(&fds, fds.count, timeout())
      if count < 0 && count != -Int(EINTR) { return end(1) }
      // The pidfd tells what the socket cannot when a fork of the host's holds the other end.
      if fds[1].revents != 0 { return end(1) }
      if fds[0].revents != 0 && !obey() { return end(1) }
      if fds[2].revents != 0 && reap() { return end(0) }
      if fds[4].revents != 0 { expectKillUntil = lx_now() + 1_000_000_000 }
      if expectKillUntil != nil { lookForKill() }
      // One each round: who asks without end keeps nothing else waiting.
      if fds[3].revents != 0 && !judge(fds[3].revents) { fds[3].fd = -1 }
      enforceLimits()
    }
  }

  /// Close what is the worker's: pipes and the session must end with it, not with init. A terminal ends with init: while
  /// nobody had it open, the host's end would be in a hangup that the next open takes back.
  private func letGo() {
    Kept.close(
      allBut: [
        InitDescriptor.control, InitDescriptor.hostPidfd, signalFD.raw, processes.descriptor,
        violations.descriptor, kept.descriptors.base, kept.descriptors.folder, groups.memory,
        groups.bell, groups.cpu, memoryLimit == nil ? -1 : InitDescriptor.arena,
      ], from: job == nil ? 0 : 1)
  }

  // MARK: Time

  /// The monotonic clock without the pauses.
  private func time(_ now: UInt64) -> UInt64 { (pause?.began ?? now) - paused }

  /// Nanoseconds until something is due, for poll; -1 if nothing will be.
  private func timeout() -> Int64 {
    let now = lx_now()
    var left: UInt64?
    if let pause {
      if processes.areSeen { left = pause.due > now ? pause.due - now : 0 }
      if resumeAsked != nil { left = min(left ?? .max, 1_000_000) }
    } else {
      let time = time(now)
      if let deadline { left = deadline > time ? deadline - time : 0 }
      if let due = cpuLimit?.due { left = min(left ?? .max, due > time ? due - time : 0) }
      if let due = memoryLimit?.due { left = min(left ?? .max, due > time ? due - time : 0) }
    }
    if expectKillUntil != nil { left = min(left ?? .max, 2_000_000) }
    guard let left else { return -1 }
    return Int64(left)
  }

  private mutating func enforceLimits() {
    let now = lx_now()
    if pause != nil {
      lookWhilePaused(now)
      return continueWhenStill(now)
    }
    let time = time(now)
    if let deadline, time >= deadline {
      self.deadline = nil
      hitWallLimit = true
      _ = lx_kill(worker, SIGKILL)
    }
    if let due = cpuLimit?.due, time >= due { lookAtCPU(time) }
    if let due = memoryLimit?.due, time >= due { lookAtMemory(time) }
  }

  private mutating func lookAtCPU(_ time: UInt64) {
    guard var limit = cpuLimit else { return }
    var used = groups.cpuTime() ?? processes.used()
    // Again: who is reaped during a look may be counted twice, but not in two looks.
    if limit.isReached(used) { used = min(used, groups.cpuTime() ?? processes.used()) }
    if limit.isReached(used) {
      cpuLimit = nil
      hitCPULimit = true
      _ = lx_kill(worker, SIGKILL)
    } else {
      limit.note(used, now: time)
      cpuLimit = limit
    }
  }

  private mutating func lookAtMemory(_ time: UInt64) {
    guard var limit = memoryLimit else { return }
    let began = lx_now()
    let cpu = processes.used()
    // Nobody has run: nobody has more than before.
    if cpu == cpuAtLook {
      limit.noteIdle(now: time)
      memoryLimit = limit
      return
    }
    cpuAtLook = cpu
    var used = memory.count(processes, limit: limit.bytes)
    // Again: what goes from one process to another during a look may be counted twice, but not in two looks.
    if used > limit.bytes { used = min(used, memory.count(processes, limit: limit.bytes)) }
    if used > limit.bytes {
      memoryLimit = nil
      ranOutOfMemory = true
      _ = lx_kill(worker, SIGKILL)
    } else {
      limit.note(used, took: lx_now() &- began, now: time)
      memoryLimit = limit
    }
  }

  /// The bell rings before the kernel has killed somebody of the worker's, if it does. The others are not to go on then.
  private mutating func lookForKill() {
    if groups.hasRunOutOfMemory() {
      ranOutOfMemory = true
      _ = lx_kill(worker, SIGKILL)
    } else if lx_now() < expectKillUntil ?? 0 {
      return
    }
    expectKillUntil = nil
  }

  /// Answer a call that is not the worker's to make. False when none can come any more.
  private mutating func judge(_ revents: Int16) -> Bool {
    guard revents & Int16(POLLIN) != 0 else { return false }
    if violations.judge() { _ = lx_kill(worker, SIGKILL) }
    return true
  }

  // MARK: Pausing

  private mutating func stopAll() {
    resumeAsked = nil
    guard pause == nil else { return }
    pause = Pause(now: lx_now())
    _ = lx_kill(everybody, SIGSTOP)
    if let guardian = kept.guardian, guardian > 0 { _ = lx_kill(guardian, SIGCONT) }
  }

  /// End the pause once all have stopped. A fork that is under way gives the child the SIGSTOP that its parent was sent,
  /// but a SIGCONT only where that has a handler, so a child that is born too late would stay stopped for ever. Who sleeps
  /// in the kernel (a vfork that waits for its child, say) or runs on is not waited for without end.
  private mutating func continueWhenStill(_ now: UInt64) {
    guard let asked = resumeAsked else { return }
    let (running, waiting) = processes.restless()
    if running > 0 && now - asked < 1_000_000_000 { return }
    if waiting > 0 && now - asked < 50_000_000 { return }
    resumeAsked = nil
    continueAll()
  }

  private mutating func continueAll() {
    guard let pause else { return }
    paused += lx_now() - pause.began
    self.pause = nil
    // Who was stopped before, by a shell inside, stays so. (All are still, so nothing changes while they are counted.)
    var stoppedBefore = 0
    processes.each { if processes.wasStopped($0) { stoppedBefore += 1 } }
    if stoppedBefore == 0 {
      _ = lx_kill(everybody, SIGCONT)
    } else {
      processes.each { if !processes.wasStopped($0) { _ = lx_kill($0, SIGCONT) } }
    }
    for signal in 1...Int32(64) {
      let bit: UInt64 = 1 << UInt64(signal - 1)
      if pause.heldForProcess & bit != 0 { _ = lx_kill(worker, signal) }
      if pause.heldForGroup & bit != 0 { _ = lx_kill(-worker, signal) }
    }
  }

  /// All but init, atomically: of its namespace, or of those that it may send signals to. Without either that would be all
  /// of the machine: there the worker's group is all there is to aim at.
  private var everybody: Int32 { lx_getpid() == 1 || kept.guardian != nil ? -1 : -worker }

  private mutating func lookWhilePaused(_ now: UInt64) {
    guard var pause, processes.areSeen, now >= pause.due else { return }
    var anyAwake = false
    processes.each { if processes.runsOn($0) { anyAwake = true } }
    switch pause.look(processes.used(), anyAwake: anyAwake, now: now) {
    case .quiet: break
    case .runsOn: processes.each { if processes.runsOn($0) { _ = lx_kill($0, SIGSTOP) } }
    case .hopeless:
      ranPaused = true
      _ = lx_kill(worker, SIGKILL)
    }
    self.pause = pause
  }

  // MARK: Orders

  /// Carry out one order. False when the host is gone.
  private mutating func obey() -> Bool {
    var packet = [UInt8](repeating: 0, count: Control.size)
    let count = lx_receive_packet(InitDescriptor.control, &packet, packet.count)
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return true }
    if count <= 0 { return false }
    guard count == packet.count, let order = Control.Order(decoding: packet) else { return true }
    switch order {
    case .signal(let number, let group):
      if number == SIGKILL { killed = true }
      // A worker that is paused gets what continues it, or stops it, when it is one no more; and all else in its order.
      if pause != nil && number != SIGKILL {
        pause?.hold(number, group: group)
      } else {
        _ = lx_kill(group ? -worker : worker, number)
      }
    case .pause: stopAll()
    case .resume:
      if pause != nil && resumeAsked == nil { resumeAsked = lx_now() }
    case .foreground(let wanted): job?.setForeground(wanted)
    case .dial(let token, let port): openings.dial(token, port)
    case .open(let token, let flags): openings.open(token, flags)
    case .text(let bytes): openings.add(bytes)
    }
    return true
  }

  /// Reap whoever has ended. True if the worker has, which has been told.
  private mutating func reap() -> Bool {
    // One read takes all pending SIGCHLDs there are: at most one, it does not queue.
    withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) {
      _ = lx_read(signalFD.raw, $0.baseAddress, 128)
    }
    while true {
      var ended = lx_end()
      let pid = lx_wait_any(&ended)
      if pid == -Int(EINTR) { continue }
      if pid <= 0 { return false }
      if ended.stopped != 0 {
        // SIGSTOP is what a pause stops by; the host knows of that.
        if pid == Int(worker), pause == nil || ended.signal != SIGSTOP { suspended(ended.signal) }
        continue
      }
      if pid == Int(kept.guardian ?? -1) {
        // Killed from outside. Without another, nothing is lost but what comes of init's own violent end.
        do throws(KernelError) { try kept.startGuard() } catch {}
        processes.guardian = kept.guardian
        continue
      }
      if pid == Int(worker) {
        violations.tellCounts()
        tell(.exited(exit(ended)))
        return true
      }
    }
  }

  /// Tell the host, unless it does not listen: then it has as many of these to read as the socket holds, and a worker
  /// that stops itself without end must not make init wait.
  private func suspended(_ signal: Int32) {
    let packet = Control.Notice.suspended(signal: signal).encoded()
    _ = lx_send_packet_now(InitDescriptor.control, packet, packet.count)
  }

  private mutating func exit(_ ended: lx_end) -> Control.Exit {
    var exit = Control.Exit()
    exit.code = ended.code
    exit.signal = ended.signal
    exit.dumpedCore = ended.core != 0
    exit.wallLimit = hitWallLimit
    exit.ranPaused = ranPaused
    exit.treePeakKiB = memory.peak >> 10
    // The kernel's killer may have been quicker than its bell.
    exit.memoryLimit = ranOutOfMemory || ended.signal == SIGKILL && groups.hasRunOutOfMemory()
    // Without a listener the kernel kills by SIGSYS.
    exit.blocked = violations.hasKilled || violations.leavesKilling && ended.signal == SIGSYS
    var usage = lx_usage()
    if lx_usage_of_children(&usage) >= 0 {
      exit.userMicroseconds = usage.user_us
      exit.systemMicroseconds = usage.system_us
      exit.peakKiB = usage.peak_kib
    }
    // The kernel's own count of a single process may have been quicker.
    let hitItsOwn =
      ended.signal == SIGXCPU
      || ended.signal == SIGKILL && !killed && !hitWallLimit && !ranPaused && !exit.blocked
        && !exit.memoryLimit
    let used = (exit.userMicroseconds + exit.systemMicroseconds) * 1000
    exit.cpuLimit = hitCPULimit || hitItsOwn && cpuLimit?.isReached(used) ?? false
    return exit
  }

  /// The kernel kills what is left when a namespace's PID 1 ends. Without one, init does, and waits until all are gone:
  /// orphans become its children.
  private func end(_ code: Int32) -> Int32 {
    if lx_getpid() == 1 { return code }
    guard kept.guardian != nil else {
      _ = lx_kill(-worker, SIGKILL)
      return code
    }
    var ended = lx_end()
    var poll = pollfd(fd: signalFD.raw, events: Int16(POLLIN), revents: 0)
    while true {
      _ = lx_kill(everybody, SIGKILL)
      var pid = 1
      while pid > 0 { pid = lx_wait_any(&ended) }
      if pid == -Int(ECHILD) { break }
      // Not for the signal alone, which may have come before: another look is cheap.
      _ = lx_poll(&poll, 1, 10_000_000)
      _ = withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) {
        lx_read(signalFD.raw, $0.baseAddress, 128)
      }
    }
    kept.removeScratch()
    return code
  }
}
