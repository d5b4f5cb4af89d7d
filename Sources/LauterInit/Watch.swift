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
struct Watch: ~Copyable {
  /// SIGCHLD, read from a descriptor: a handler would let the worker's signals in.
  static let signals: UInt64 = 1 << UInt64(SIGCHLD - 1)

  /// Milliseconds, so that no sum overflows: a hundred years.
  private static let longest: UInt64 = 100 * 365 * 86_400 * 1_000

  private let worker: Int32
  private let signalFD: OwnedFD
  /// Where the worker's failure to become the program arrives; the end of file is its success.
  private let report: OwnedFD
  private var isStarting = true
  /// On the monotonic clock, in nanoseconds; nil without a limit.
  private var deadline: UInt64?
  private var hitWallLimit = false

  /// Fork the worker, which takes the steps of `plan` from `index` on.
  init(starting plan: Plan, from index: Int, _ execution: Execution) throws(KernelError) {
    let signals = try check("signalfd", lx_signalfd(Watch.signals, O_CLOEXEC | O_NONBLOCK))
    let signalFD = OwnedFD(adopting: Int32(signals))
    var ends: (Int32, Int32) = (-1, -1)
    let piped = withUnsafeMutableBytes(of: &ends) {
      lx_pipe2($0.baseAddress!.assumingMemoryBound(to: Int32.self), O_CLOEXEC | O_NONBLOCK)
    }
    try check("pipe2", piped)
    let report = OwnedFD(adopting: ends.0)
    let reporting = OwnedFD(adopting: ends.1)
    // Here, not in the worker: no interrupt of the host's may arrive before it.
    if execution.ignoresInterrupt { try check("signal", lx_signal_ignore(SIGINT, 1)) }
    // Again: the change of the user id may have undone it.
    try check("prctl", lx_prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
    let child = Worker(plan.steps[index...], execution, report: reporting.raw)
    let pid = try check("fork", lx_fork())
    if pid == 0 { child.run() }
    worker = Int32(pid)
    self.signalFD = signalFD
    self.report = report
    if execution.wallMilliseconds > 0 {
      let wall = min(execution.wallMilliseconds, Watch.longest) * 1_000_000
      deadline = lx_now() + wall
    }
  }

  /// Until the worker's end or the host's. Returns init's exit code.
  mutating func run() -> Int32 {
    letGo()
    var fds: [pollfd] = [
      pollfd(fd: InitDescriptor.control, events: Int16(POLLIN), revents: 0),
      pollfd(fd: InitDescriptor.hostPidfd, events: Int16(POLLIN), revents: 0),
      pollfd(fd: report.raw, events: Int16(POLLIN), revents: 0),
      pollfd(fd: signalFD.raw, events: Int16(POLLIN), revents: 0),
    ]
    while true {
      let count = lx_poll(&fds, fds.count, timeout())
      if count < 0 && count != -Int(EINTR) { return end(1) }
      // The pidfd tells what the socket cannot when a fork of the host's holds the other end.
      if fds[1].revents != 0 { return end(1) }
      if fds[0].revents != 0 && !obey() { return end(1) }
      if fds[2].revents != 0 {
        if !hearStart() { return end(1) }
        if !isStarting { fds[2].fd = -1 }
      }
      if fds[3].revents != 0 && reap() { return end(0) }
      enforceLimit()
    }
  }

  /// Close what is the worker's: pipes and the session must end with it, not with init.
  private func letGo() {
    _ = lx_close_range(0, 2, 0)
    let kept = signalFD.raw < report.raw ? (signalFD.raw, report.raw) : (report.raw, signalFD.raw)
    closeBetween(InitDescriptor.hostPidfd + 1, kept.0 - 1)
    closeBetween(kept.0 + 1, kept.1 - 1)
    closeBetween(kept.1 + 1, Int32.max)
  }

  private func closeBetween(_ first: Int32, _ last: Int32) {
    if first <= last { _ = lx_close_range(UInt32(first), UInt32(last), 0) }
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
      // Until the worker has called setsid(2) there is no such group.
      if !group || lx_kill(-worker, number) == -Int(ESRCH) { _ = lx_kill(worker, number) }
    }
    return true
  }

  /// Whether the worker's program runs, or will. False if it never will, which has been told.
  private mutating func hearStart() -> Bool {
    var words: (UInt32, Int32) = (0, 0)
    let count = lx_read(report.raw, &words, 8)
    if count == -Int(EAGAIN) || count == -Int(EINTR) { return true }
    if count == 8 {
      tell(.failed(step: words.0, errno: words.1))
      return false
    }
    isStarting = false
    tell(.started)
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
      if pid == Int(worker) {
        // Its pipe closed before its end could be seen: what is in it comes first.
        if isStarting && !hearStart() { return true }
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
