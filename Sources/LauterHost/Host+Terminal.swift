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
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// A worker's terminal: the host's end of it takes the place of standard input and output.
extension Host {
  package func resize(_ id: UInt64, rows: UInt32, columns: UInt32) throws(HostError) {
    try checkFork()
    guard let rows = UInt16(exactly: rows), let columns = UInt16(exactly: columns), rows > 0,
      columns > 0
    else {
      throw HostError(
        LAUTER_ERROR_INVALID, subject: "\(id)", "a terminal has 1 to 65535 rows and columns")
    }
    try locked { () throws(HostError) in
      let worker = try terminalWorker(id)
      worker.terminalSize = (rows, columns)
      applySize(worker)
    }
  }

  package func setForeground(_ id: UInt64, _ wanted: Bool) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      try terminalWorker(id).order(.foreground(wanted))
    }
  }

  private func terminalWorker(_ id: UInt64) throws(HostError) -> Worker {
    let worker = try worker(id)
    guard worker.launch.terminal != nil else { throw .state(id, "has no terminal") }
    return worker
  }

  private func applySize(_ worker: Worker) {
    guard let size = worker.terminalSize, worker.stdout != nil else { return }
    _ = lx_terminal_resize(worker.stdout.raw, size.rows, size.columns)
  }

  /// The character that ends the input, as the worker's programs have set it; nil if there is none.
  func endOfInput(_ worker: Worker) -> UInt8? {
    // Before it is there, it is as the kernel makes it.
    guard worker.stdin != nil else { return 4 }
    let character = lx_terminal_end(worker.stdin.raw)
    return character > 0 ? UInt8(character) : nil
  }

  // MARK: From init

  /// One packet of the control socket as it is read while descriptors are awaited, with the one that it brings.
  func receiveWithDescriptor(_ worker: Worker) -> Int {
    var raw: Int32 = -1
    var wasCut: Int32 = 0
    let count = lx_recv_descriptor(
      worker.control.raw, scratch.baseAddress, scratch.count, &raw, &wasCut)
    var received: OwnedFD? = raw >= 0 ? OwnedFD(adopting: raw) : nil
    guard count > 0 else { return count }
    let notice = Control.Notice(decoding: [UInt8](scratch[..<count]))
    if case .descriptor(let token, let errno) = notice {
      opened(worker, token, errno: errno, received.take())
      return count
    }
    var isTerminal = false
    if case .terminal = notice { isTerminal = worker.awaitsTerminal }
    if isTerminal, wasCut == 0, let master = received.take() {
      adopt(master, as: worker)
    } else if isTerminal, wasCut != 0, received == nil {
      // There was one, and no number for it here.
      failTerminal(worker, KernelError(call: "recvmsg", errno: EMFILE))
    } else if isTerminal || raw >= 0 {
      perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
    }
    return count
  }

  private func adopt(_ received: consuming OwnedFD, as worker: Worker) {
    worker.awaitsTerminal = false
    guard lx_is_terminal_master(received.raw) != 0 else {
      return perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
    }
    do throws(KernelError) {
      // Two numbers for the same: epoll watches each for one thing.
      worker.stdout = try copy(received)
      worker.stdin = try copy(received)
      try check("fcntl", lx_set_nonblocking(worker.stdout.raw))
      try watch(worker, .stdout, EPOLLIN.rawValue)
      try watch(worker, .stdin, 0)
      if worker.others.raw >= 0 {
        try check(
          "epoll_ctl",
          lx_epoll_ctl(
            worker.others.raw, EPOLL_CTL_ADD, worker.stdout.raw, EPOLLIN.rawValue,
            worker.key(.stdout)))
      }
    } catch {
      drop(worker, .stdout)
      drop(worker, .stdin)
      return failTerminal(worker, error)
    }
    applySize(worker)
  }

  /// Never 0, 1 or 2: a worker that inherits those would get it.
  private func copy(_ fd: borrowing OwnedFD) throws(KernelError) -> OwnedFD {
    var copy = OwnedFD(
      adopting: Int32(try check("fcntl F_DUPFD_CLOEXEC", lx_dup_above(fd.raw, 3))))
    copy.move(from: Worker.leastDescriptor)
    return copy
  }

  /// The launch fails at the step that the host could not do its part of.
  private func failTerminal(_ worker: Worker, _ error: KernelError) {
    worker.awaitsTerminal = false
    let step = worker.plan.steps.firstIndex {
      if case .terminal = $0 { return true }
      return false
    }
    let notice = Control.Notice.failed(
      step: UInt32((step ?? 0) + 1), errno: error.errno, call: "\(error.call)")
    perform(worker.lifecycle.notice(notice), worker)
    worker.destroy()
  }

  /// A signal stopped the worker. One event waits at a time: a worker may stop as often as it likes.
  func suspended(_ worker: Worker, by signal: Int32) {
    worker.isSuspended = true
    if let waiting = worker.suspension {
      waiting.status = signal
      return
    }
    let event = Event(LAUTER_EVENT_SUSPENDED, of: worker)
    event.status = signal
    worker.suspension = event
    drainStreams(worker)
    push(event, of: worker)
  }
}
