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

/// Init once the worker is forked: it reaps, forwards, keeps the time, and ends with the worker or with the host.
///
/// Before `run`, nothing in it may have memory of its own (an array, a string): that is forgotten by then.
struct Watch: ~Copyable {
  /// SIGCHLD, read from a descriptor: a handler would let the worker's signals in.
  static let signals: UInt64 = 1 << UInt64(SIGCHLD - 1)

  /// Milliseconds, so that no sum overflows: a hundred years.
  private static let longest: UInt64 = 100 * 365 * 86_400 * 1_000

  private let worker: Int32
  private let signalFD: OwnedFD
  /// On the monotonic clock, in nanoseconds; nil without a limit.
  private var deadline: UInt64?
  private var hitWallLimit = false

  /// Start the worker, which takes the steps of `plan` from `index` on. Returns once its program runs.
  init(starting plan: Plan, from index: Int, _ execution: Execution) throws(StepFailure) {
    var child = Worker(plan, from: index, execution)
    // No interrupt of the host's may arrive before this.
    let (signals, pid) = try at(plan.steps.count) { () throws(KernelError) in
      if execution.ignoresInterrupt { try check("signal", lx_signal_ignore(SIGINT, 1)) }
      // Again: the change of the user id may have undone it.
      try check("prctl", lx_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
      let signals = try check("signalfd", lx_signalfd(Watch.signals, O_CLOEXEC | O_NONBLOCK))
      return (Int32(signals), try child.fork())
    }
    if let failure = child.failure { throw failure }
    worker = pid
    signalFD = OwnedFD(adopting: signals)
    if execution.wallMilliseconds > 0 {
      let wall = min(execution.wallMilliseconds, Watch.longest) * 1_000_000
      deadline = lx_now() + wall
    }
    tell(.started)
  }

  /// Until the worker's end or the host's. Returns init's exit code.
  mutating func run() -> Int32 {
    letGo()
    var fds: [pollfd] = [
      pollfd(fd: InitDescriptor.control, events: Int16(POLLIN), revents: 0),
      pollfd(fd: InitDescriptor.hostPidfd, events: Int16(POLLIN), revents: 0),
      pollfd(fd: signalFD.raw, events: Int16(POLLIN), revents: 0),
    ]
    while true {
      let count = lx_poll(&fds, fds.count, timeout())
      if count < 0 && count != -Int(EINTR) { return end(1) }
      // The pidfd tells what the socket cannot when a fork of the host's holds the other end.
      if fds[1].revents != 0 { return end(1) }
      if fds[0].revents != 0 && !obey() { return end(1) }
      if fds[2].revents != 0 && reap() { return end(0) }
      enforceLimit()
    }
  }

  /// Close what is the worker's: pipes and the session must end with it, not with init.
  private func letGo() {
    _ = lx_close_range(0, 2, 0)
    let kept = signalFD.raw
    if kept > InitDescriptor.hostPidfd + 1 {
      _ = lx_close_range(UInt32(InitDescriptor.hostPidfd + 1), UInt32(kept - 1), 0)
    }
    _ = lx_close_range(UInt32(kept + 1), UInt32.max, 0)
  }

  /// Nanoseconds to the deadline, for poll; -1 without one.
  private func timeout() -> Int64 {
    guard let deadline else { return -1 }
    let now = lx_now()
    return deadline > now ? Int64(deadline - now) : 0
  }

  private mutating func enforceLimit() {
    guard let deadline, lx_now() >= deadline else { return }
    self.deadline = nil
    hitWallLimit = true
    _ = lx_kill(worker, SIGKILL)
  }

  /// Carry out one order. False when the host is gone.
  private func obey() -> Bool {
    var packet = [UInt8](repeating: 0, count: Control.size)
    let count = lx_receive_packet(InitDescriptor.control, &packet, packet.count)
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return true }
    if count <= 0 { return false }
    guard count == packet.count, let order = Control.Order(decoding: packet) else { return true }
    switch order {
    case .signal(let number, let group):
      _ = lx_kill(group ? -worker : worker, number)
    }
    return true
  }

  /// Reap whoever has ended. True if the worker has, which has been told.
  private func reap() -> Bool {
    // One read takes all pending SIGCHLDs there are: at most one, it does not queue.
    withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) {
      _ = lx_read(signalFD.raw, $0.baseAddress, 128)
    }
    while true {
      var ended = lx_end()
      let pid = lx_wait_any(&ended)
      if pid == -Int(EINTR) { continue }
      if pid <= 0 { return false }
      if pid == Int(worker) {
        tell(.exited(exit(ended)))
        return true
      }
    }
  }

  private func exit(_ ended: lx_end) -> Control.Exit {
    var exit = Control.Exit()
    exit.code = ended.code
    exit.signal = ended.signal
    exit.dumpedCore = ended.core != 0
    exit.wallLimit = hitWallLimit
    var usage = lx_usage()
    if lx_usage_of_children(&usage) >= 0 {
      exit.userMicroseconds = usage.user_us
      exit.systemMicroseconds = usage.system_us
      exit.peakKiB = usage.peak_kib
    }
    return exit
  }

  /// The kernel kills what is left when a namespace's PID 1 ends. Without one, the worker's group is all there is
  /// to aim at.
  private func end(_ code: Int32) -> Int32 {
    if lx_getpid() != 1 { _ = lx_kill(-worker, SIGKILL) }
    return code
  }
}
