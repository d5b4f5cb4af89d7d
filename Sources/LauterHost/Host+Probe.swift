// SPDX-License-Identifier: Apache-2.0

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

/// How a probe ended.
enum ProbeEnd {
  /// Every step was taken.
  case passed
  /// Init did not start.
  case notStarted(KernelError)
  /// The step with this index failed; -1: what init does before the first.
  case failed(step: Int, errno: Int32)
  /// Init ended, or did not end, without a word.
  case silent
}

extension Host {
  /// Has an init walk the probe's steps, and waits until it is gone.
  func run(_ probe: Probe) -> ProbeEnd { run(compiler.preparation(for: probe)) }

  /// Likewise, for who has let the compiler go.
  func run(_ preparation: Preparation) -> ProbeEnd {
    let last = preparation.plan.steps.count
    do throws(KernelError) {
      switch try ending(of: preparation) {
      case .failed(let step, let errno, _)?:
        if Int(step) == last && errno == ENOENT { return .passed }
        return .failed(step: Int(step) - 1, errno: errno)
      default: return .silent
      }
    } catch {
      return .notStarted(error)
    }
  }

  /// What init says before it ends. It has ten seconds, and is gone when this returns.
  private func ending(of preparation: Preparation) throws(KernelError) -> Control.Notice? {
    let plan = try planFile(preparation.plan)
    var pair: [Int32] = [-1, -1]
    try check("socketpair", lx_socketpair_seqpacket(&pair))
    let ours = OwnedFD(adopting: pair[0])
    var theirs: OwnedFD? = OwnedFD(adopting: pair[1])
    let result = try launchInit(
      preparation,
      [null.raw, null.raw, null.raw, pair[1], ownPidfd.raw, plan.raw, null.raw, null.raw])
    let pidfd = OwnedFD(adopting: result.pidfd)
    theirs = nil
    _ = consume theirs
    let deadline = lx_now() + 10_000_000_000
    let isTold = sleep(until: ours.raw, deadline)
    var packet = [UInt8](repeating: 0, count: Control.size)
    let count = isTold ? lx_receive_packet(ours.raw, &packet, packet.count) : 0
    if !sleep(until: pidfd.raw, deadline) {
      _ = lx_pidfd_send_signal(pidfd.raw, SIGKILL)
      _ = sleep(until: pidfd.raw, lx_now() + 2_000_000_000)
    }
    _ = claunch_reap(pidfd.raw)
    return count == packet.count ? Control.Notice(decoding: packet) : nil
  }

  /// False when the time is up. A signal's handler may run meanwhile: the rest is a matter of milliseconds.
  private func sleep(until fd: Int32, _ deadline: UInt64) -> Bool {
    while true {
      let now = lx_now()
      guard now < deadline else { return false }
      var poll = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
      let result = lx_poll(&poll, 1, Int64(deadline - now))
      if result != -Int(EINTR) { return result > 0 }
    }
  }
}
