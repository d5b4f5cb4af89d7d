// SPDX-License-Identifier: Apache-2.0

/// While the worker is paused: signals that wait for its end, and whether anybody goes on. Times are nanoseconds of the
/// monotonic clock.
///
/// Every process has been sent SIGSTOP, by one system call that no fork runs away from. That a process is continued by
/// another is impossible, since all are stopped; but a timer of its own, or a kill of one of its kin from outside, can
/// have the kernel send it SIGCONT. So init looks, now and then and ever more rarely, for who is awake, and at the CPU
/// time that is used meanwhile: it tells of threads whose process has no first one any more. Who was continued is
/// stopped again; who does it over and over is killed.
package struct Pause: Sendable {
  package let began: UInt64
  package private(set) var due: UInt64
  private var wait: UInt64 = 50_000_000
  private var used: UInt64?
  private var strikes = 0
  /// Signals for the worker's process, and for its group: bit `number - 1`.
  package private(set) var heldForProcess: UInt64 = 0
  package private(set) var heldForGroup: UInt64 = 0

  private static let longest: UInt64 = 10_000_000_000
  /// What the kernel may do for processes that are stopping: free memory, say. Not between two looks: who takes less
  /// than that each time would never be found.
  private static let tolerated: UInt64 = 10_000_000
  private static let mostStrikes = 5

  package init(now: UInt64) {
    began = now
    due = now + wait
  }

  package enum Finding: Sendable { case quiet, runsOn, hopeless }

  /// Whether the tree is still, by what has been used by now and by whether anybody is awake. The first look only notes:
  /// some may not have stopped yet.
  package mutating func look(_ used: UInt64, anyAwake: Bool, now: UInt64) -> Finding {
    wait = min(wait * 2, Pause.longest)
    due = now + wait
    guard let before = self.used else {
      self.used = used
      return .quiet
    }
    guard anyAwake || used > before + Pause.tolerated else { return .quiet }
    self.used = used
    strikes += 1
    return strikes < Pause.mostStrikes ? .runsOn : .hopeless
  }

  package mutating func hold(_ signal: Int32, group: Bool) {
    guard (1...64).contains(signal) else { return }
    let bit: UInt64 = 1 << UInt64(signal - 1)
    if group { heldForGroup |= bit } else { heldForProcess |= bit }
  }
}
