// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterPlan)
  package import LauterPlan
#endif
#if canImport(LauterWire)
  package import LauterWire
#endif

/// The life of one worker as a pure machine: what happens goes in, what to do comes out. Times are nanoseconds of the
/// monotonic clock.
///
/// A worker that is paused has a time of its own, which stands still: what is due to it is kept in that. Only the end of
/// an init that does not end is kept in the clock's.
package struct Lifecycle {
  package enum Phase: Equatable, Sendable {
    /// Init runs; the program does not yet.
    case launching
    /// The program runs; its runtime is not ready.
    case running
    case ready
    /// All its processes are gone.
    case gone
  }

  package enum Action: Equatable, Sendable {
    case tellStarted
    case tellReady
    /// Write the `stop` frame.
    case ask
    /// SIGTERM to the worker's process group.
    case terminate
    /// Stop every process of the worker; go on with them.
    case pause
    case resume
    /// Let init kill the worker, tell what it used, and end, which ends everything else.
    case kill
    /// SIGKILL to init itself: the kernel kills everything, and nobody tells what was used.
    case destroy
  }

  /// Why we ended the worker ourselves; the first cause stays.
  package enum Verdict: Equatable, Sendable {
    case killed
    case notReady(milliseconds: UInt64)
    case overdue
    case outputLimit
    case breach(WireError)
    case closedSession
    case badNotice
  }

  package private(set) var phase = Phase.launching
  package private(set) var verdict: Verdict?
  package private(set) var failure: (step: UInt32, errno: Int32, call: String)?
  package private(set) var exit: Control.Exit?
  package private(set) var rung = LAUTER_RUNG_NONE
  private let hasSession: Bool
  private let readyMilliseconds: UInt64
  private var readyAt: UInt64?
  private var termAt: UInt64?
  private var killAt: UInt64?
  private var closedAt: UInt64?
  private var destroyAt: UInt64?
  private var pausedAt: UInt64?
  /// Nanoseconds of earlier pauses.
  private var pausedBefore: UInt64 = 0

  /// How long init may take to do what it was told.
  package static let killGrace: UInt64 = 250_000_000

  /// How long a worker may go on after it closed its session.
  package static let closedGrace: UInt64 = 2_000_000_000

  package init(hasSession: Bool, now: UInt64, readyMilliseconds: UInt64) {
    self.hasSession = hasSession
    self.readyMilliseconds = readyMilliseconds
    readyAt = now + readyMilliseconds * 1_000_000
  }

  /// Whether it is stopping, killed, failed, or has ended.
  package var isEnding: Bool {
    phase == .gone || rung != LAUTER_RUNG_NONE || verdict != nil || failure != nil || exit != nil
  }

  // MARK: Its own time

  package var isPaused: Bool { pausedAt != nil }

  /// The worker's own time at `now`.
  package func ownTime(_ now: UInt64) -> UInt64 { (pausedAt ?? now) &- pausedBefore }

  /// When the clock will show the worker's own `time`; nil while that stands still.
  package func clockTime(of time: UInt64) -> UInt64? {
    isPaused ? nil : time &+ min(pausedBefore, .max - time)
  }

  /// Twice is as good as once. Of a worker that does not run yet it holds from its first moment on.
  package mutating func pause(now: UInt64) -> [Action] {
    guard !isPaused, !isEnding else { return [] }
    pausedAt = now
    return [.pause]
  }

  package mutating func resume(now: UInt64) -> [Action] {
    guard let pausedAt else { return [] }
    pausedBefore &+= now &- pausedAt
    self.pausedAt = nil
    return phase == .gone ? [] : [.resume]
  }

  /// When `timer` wants to be called next, on the clock.
  package var deadline: UInt64? {
    var earliest: UInt64?
    func consider(_ time: UInt64?) {
      if let time, time < earliest ?? .max { earliest = time }
    }
    consider(readyAt)
    consider(termAt)
    consider(killAt)
    consider(closedAt)
    earliest = earliest.flatMap { clockTime(of: $0) }
    consider(destroyAt)
    return earliest
  }

  package mutating func notice(_ notice: Control.Notice) -> [Action] {
    switch notice {
    case .started:
      guard phase == .launching else { return [] }
      phase = .running
      guard hasSession else {
        phase = .ready
        readyAt = nil
        return [.tellStarted, .tellReady]
      }
      return [.tellStarted]
    case .failed(let step, let errno, let call):
      if failure == nil { failure = (step, errno, call) }
      return []
    case .exited(let exit):
      if self.exit == nil { self.exit = exit }
      readyAt = nil
      return []
    case .terminal, .suspended, .violationsUntold, .denied, .descriptor: return []
    }
  }

  /// The worker's runtime says that it takes calls. It may have been quicker than init's word that it runs.
  package mutating func ready() -> [Action] {
    switch phase {
    case .launching:
      phase = .ready
      readyAt = nil
      return [.tellStarted, .tellReady]
    case .running:
      phase = .ready
      readyAt = nil
      return [.tellReady]
    case .ready, .gone: return []
    }
  }

  package mutating func sessionClosed(now: UInt64) {
    if exit == nil, closedAt == nil, phase != .gone {
      closedAt = ownTime(now) + Lifecycle.closedGrace
    }
  }

  package mutating func stop(now: UInt64, askNanoseconds: UInt64, termNanoseconds: UInt64)
    -> [Action]
  {
    guard phase != .gone else { return [] }
    // Who is paused hears nothing.
    let resumed = resume(now: now)
    let climbed = climb(now: now, askNanoseconds, termNanoseconds)
    return resumed + climbed
  }

  private mutating func climb(
    now: UInt64, _ askNanoseconds: UInt64, _ termNanoseconds: UInt64
  ) -> [Action] {
    readyAt = nil
    let time = ownTime(now)
    let term = time &+ askNanoseconds
    let kill = term &+ termNanoseconds
    let first = rung == LAUTER_RUNG_NONE
    if rung < LAUTER_RUNG_TERM { termAt = min(termAt ?? .max, term) }
    if rung < LAUTER_RUNG_KILL { killAt = min(killAt ?? .max, kill) }
    guard first else { return timer(now: now) }
    rung = LAUTER_RUNG_ASKED
    // A program without a session cannot be asked, one that is not ready would not hear it.
    let canAsk = hasSession && phase == .ready
    if !canAsk { termAt = time }
    return (canAsk ? [.ask] : []) + timer(now: now)
  }

  package mutating func end(_ verdict: Verdict, now: UInt64) -> [Action] {
    guard phase != .gone else { return [] }
    if self.verdict == nil { self.verdict = verdict }
    // There is no worker yet, or an init that cannot be trusted with its end.
    if phase == .launching || verdict == .badNotice { return [.destroy] }
    return kill(now: now)
  }

  private mutating func kill(now: UInt64) -> [Action] {
    if destroyAt == nil { destroyAt = now &+ Lifecycle.killGrace }
    return [.kill]
  }

  package mutating func timer(now: UInt64) -> [Action] {
    guard phase != .gone else { return [] }
    if let time = destroyAt, time <= now {
      destroyAt = nil
      return [.destroy]
    }
    if isPaused { return [] }
    let own = ownTime(now)
    if let time = readyAt, time <= own {
      readyAt = nil
      return end(.notReady(milliseconds: readyMilliseconds), now: now)
    }
    if let time = closedAt, time <= own {
      closedAt = nil
      return end(.closedSession, now: now)
    }
    if let time = killAt, time <= own {
      killAt = nil
      termAt = nil
      rung = LAUTER_RUNG_KILL
      return kill(now: now)
    }
    if let time = termAt, time <= own {
      termAt = nil
      rung = LAUTER_RUNG_TERM
      return [.terminate]
    }
    return []
  }

  package mutating func gone() {
    phase = .gone
    readyAt = nil
    termAt = nil
    killAt = nil
    closedAt = nil
    destroyAt = nil
  }

  /// The reason of the report, and its sentence.
  ///
  /// - Parameter blocked: the sentence on the call that ended it.
  package func reason(
    limits: LimitsTold, launchFailure: String?, blocked: String? = nil
  ) -> (
    reason: Int, why: String
  ) {
    if failure != nil {
      return (LAUTER_REASON_LAUNCH, "the launch failed: \(launchFailure ?? "unknown step")")
    }
    switch verdict {
    case .breach(let error):
      return (LAUTER_REASON_PROTOCOL, "the worker broke the protocol: \(error.description)")
    case .closedSession:
      return (
        LAUTER_REASON_PROTOCOL, "the worker broke the protocol: it closed its session and went on"
      )
    case .badNotice:
      return (LAUTER_REASON_PROTOCOL, "the worker's init sent what no init sends")
    case .notReady(let milliseconds):
      return (
        LAUTER_REASON_DEADLINE,
        "it was not ready within \(durationText(milliseconds: milliseconds))"
      )
    case .overdue:
      return (LAUTER_REASON_DEADLINE, "a call's time was up and interrupts did not end it")
    case .outputLimit:
      return (LAUTER_REASON_OUTPUT, "the output limit of \(byteText(limits.output)) was passed")
    case .killed, nil: break
    }
    if let exit, exit.blocked {
      return (
        LAUTER_REASON_BLOCKED,
        blocked ?? "blocked system call (which one, the kernel could not tell here)"
      )
    }
    if let exit, exit.wallLimit {
      return (
        LAUTER_REASON_WALL,
        "the wall-clock limit of \(durationText(milliseconds: limits.wall)) was reached"
      )
    }
    if let exit, exit.cpuLimit {
      return (
        LAUTER_REASON_CPU, "the CPU limit of \(durationText(milliseconds: limits.cpu)) was reached"
      )
    }
    if let exit, exit.memoryLimit {
      return (
        LAUTER_REASON_MEMORY, "the memory limit of \(byteText(limits.memory)) was reached"
      )
    }
    if let exit, exit.ranPaused {
      return (LAUTER_REASON_PROTOCOL, "the worker went on although it was paused")
    }
    if verdict == .killed, exit == nil || exit!.signal == 9 {
      return (LAUTER_REASON_KILLED, "killed by its host")
    }
    // A crash on the way out is a crash.
    let crashed = rung == LAUTER_RUNG_ASKED && exit != nil && exit!.code < 0
    if rung != LAUTER_RUNG_NONE && !crashed {
      let how =
        switch rung {
        case LAUTER_RUNG_ASKED: "it was asked to exit and did"
        case LAUTER_RUNG_TERM: "SIGTERM ended it"
        default: "it had to be killed"
        }
      return (LAUTER_REASON_STOPPED, "stopped: \(how)")
    }
    guard let exit else {
      return (
        LAUTER_REASON_LOST, "its init ended without a word: killed from outside, or out of memory"
      )
    }
    if exit.code >= 0 { return (LAUTER_REASON_EXITED, "it exited with status \(exit.code)") }
    var why = "it was ended by \(signalText(exit.signal))"
    if exit.signal == 25 && limits.file > 0 {
      why = "it was ended by SIGXFSZ: the file size limit of \(byteText(limits.file)) was reached"
    }
    return (LAUTER_REASON_SIGNALED, why)
  }
}
