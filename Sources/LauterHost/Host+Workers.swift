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

extension Host {
  package func pid(of id: UInt64) throws(HostError) -> Int32 {
    try checkFork()
    return try locked { () throws(HostError) in try worker(id).initPid }
  }

  package func signal(_ id: UInt64, _ signal: Int32) throws(HostError) {
    try checkFork()
    guard (1...64).contains(signal) else {
      throw HostError(
        LAUTER_ERROR_INVALID, subject: "\(signal)", "no signal has the number \(signal)")
    }
    try locked { () throws(HostError) in
      let worker = try worker(id)
      if signal == SIGCONT { worker.isSuspended = false }
      worker.order(.signal(signal, group: !worker.hasSession))
    }
  }

  package func stop(_ id: UInt64, askMilliseconds: Int64, termMilliseconds: Int64) throws(HostError)
  {
    try checkFork()
    guard askMilliseconds >= 0, termMilliseconds >= 0 else {
      throw HostError(
        LAUTER_ERROR_INVALID, subject: "\(id)", "stopping a worker takes times of 0 ms or more")
    }
    try locked { () throws(HostError) in
      let worker = try worker(id)
      perform(
        worker.lifecycle.stop(
          now: lx_now(), askNanoseconds: Bounds.nanoseconds(UInt64(askMilliseconds)),
          termNanoseconds: Bounds.nanoseconds(UInt64(termMilliseconds))), worker)
      arm(worker)
    }
  }

  package func kill(_ id: UInt64) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let worker = try worker(id)
      perform(worker.lifecycle.end(.killed, now: lx_now()), worker)
      arm(worker)
    }
  }

  package func pause(_ id: UInt64) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let worker = try worker(id)
      guard !worker.lifecycle.isEnding else { throw .state(id, "is ending and cannot be paused") }
      perform(worker.lifecycle.pause(now: lx_now()), worker)
    }
  }

  package func resume(_ id: UInt64) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let worker = try worker(id)
      perform(worker.lifecycle.resume(now: lx_now()), worker)
      arm(worker)
    }
  }

  // MARK: Standard input

  package func writeStdin(_ id: UInt64, _ bytes: UnsafeRawBufferPointer) throws(HostError) {
    try checkFork()
    try locked { () throws(HostError) in
      let worker = try worker(id)
      guard worker.stdin != nil || worker.awaitsTerminal, !worker.stdinEnds else {
        throw .state(id, "has no standard input that is open")
      }
      if bytes.isEmpty && worker.launch.terminal != nil {
        guard let end = endOfInput(worker) else {
          throw .state(id, "has switched off its terminal's end-of-file character")
        }
        worker.stdinQueue.append(end)
        return flushStdin(worker)
      }
      guard worker.stdinQueue.count + bytes.count <= Bounds.stdinBytes else {
        throw HostError(
          LAUTER_ERROR_LIMIT, subject: "\(id)",
          "worker \(id) has not read 1 MiB of its standard input")
      }
      if bytes.isEmpty {
        worker.stdinEnds = true
      } else {
        worker.stdinQueue.append(contentsOf: bytes)
      }
      flushStdin(worker)
    }
  }

  func flushStdin(_ worker: Worker) {
    // A terminal echoes what is typed: not before there is a program, whose words the first must be.
    if worker.launch.terminal != nil && worker.lifecycle.phase == .launching { return }
    while !worker.stdinQueue.isEmpty {
      let count = worker.stdinQueue.withUnsafeBufferPointer {
        lx_write_pipe(worker.stdin.raw, $0.baseAddress, $0.count)
      }
      if count == -Int(EAGAIN) { return rewatch(worker, .stdin, EPOLLOUT.rawValue) }
      if count == -Int(EINTR) { continue }
      // Nobody reads any more.
      guard count > 0 else { return drop(worker, .stdin) }
      worker.stdinQueue.removeFirst(count)
    }
    if worker.stdinEnds { drop(worker, .stdin) } else { rewatch(worker, .stdin, 0) }
  }
}
