// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif

/// A call that the host made.
final class Call {
  let id: UInt64
  let worker: Worker
  let cookie: UInt64
  let lane: UInt32
  /// Its entry in the worker's control page.
  let slot: UInt16
  /// When it is interrupted, and then when its worker is killed: in its worker's own time.
  var deadline: UInt64?
  let graceNanoseconds: UInt64
  var timedOut = false
  /// Where the program wants the parts of the result.
  var memory: UnsafeMutableRawBufferPointer?
  /// Nobody wants its events.
  var abandoned = false
  /// Somebody sleeps in `lauter_call_wait` for it.
  var isAwaited = false
  /// Its `done` event, until somebody takes it: from here, or from the queue if it is there too.
  var done: Event?

  /// Whether it may have begun: calls on *main* run one after the other, those on *side* at once.
  var mayRun: Bool {
    lane != LAUTER_LANE_MAIN || self === worker.calls.first { $0.lane == LAUTER_LANE_MAIN }
  }

  init(
    id: UInt64, worker: Worker, cookie: UInt64, lane: UInt32, slot: UInt16, deadline: UInt64?,
    graceNanoseconds: UInt64
  ) {
    self.id = id
    self.worker = worker
    self.cookie = cookie
    self.lane = lane
    self.slot = slot
    self.deadline = deadline
    self.graceNanoseconds = graceNanoseconds
  }
}
