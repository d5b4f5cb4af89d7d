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

/// Calls that the worker's filter leaves to init, which nobody but init can answer: it counts them, lets them fail, and
/// tells the host of each kind once, so that a worker that tries without end costs the host nothing.
///
/// Nothing is decided by what a call's pointers lead to, so nothing of the worker's is read, and its changing meanwhile
/// (which makes such answers worthless elsewhere) is of no matter.
struct Violations: ~Copyable {
  private struct Kind {
    var violation: Control.Violation
    /// The count that the host knows.
    var told: UInt64 = 0
  }

  private let listener: OwnedFD?
  /// -1 without a listener.
  let descriptor: Int32
  private let answer: ViolationAnswer
  private var kinds: [Kind] = []
  /// The worker is to die of one.
  private(set) var hasKilled = false

  /// - Parameter listener: -1 where there is none.
  init(_ listener: Int32, _ answer: ViolationAnswer) {
    self.listener = listener >= 0 ? OwnedFD(adopting: listener) : nil
    descriptor = listener
    self.answer = answer
  }

  /// The kernel kills in init's place.
  var leavesKilling: Bool { descriptor < 0 && answer == .kill }

  /// Take and answer one call, which poll(2) has announced. True if the worker is to be killed for it: then nobody answers,
  /// and its thread never gets any further.
  mutating func judge() -> Bool {
    var notification = lx_notification()
    // ENOENT: the thread has died meanwhile.
    guard lx_notification_receive(descriptor, &notification) >= 0 else { return false }
    let call = notification.call
    switch answer {
    case .none, .fail: _ = lx_notification_answer(descriptor, call.id, EPERM)
    case .go: _ = lx_notification_answer(descriptor, call.id, 0)
    case .kill: break
    }
    note(call.number, call.architecture) {
      Control.Violation(
        number: call.number, architecture: call.architecture, thread: call.thread,
        programCounter: call.program_counter,
        arguments: [
          call.arguments.0, call.arguments.1, call.arguments.2, call.arguments.3,
          call.arguments.4, call.arguments.5,
        ], count: 0)
    }
    guard answer == .kill, !hasKilled else { return false }
    hasKilled = true
    return true
  }

  private mutating func note(
    _ number: UInt32, _ architecture: UInt32, _ violation: () -> Control.Violation
  ) {
    for index in kinds.indices {
      let kind = kinds[index].violation
      let isOthers = index == Control.Violation.kindsMax
      if isOthers || kind.number == number && kind.architecture == architecture {
        kinds[index].violation.count += 1
        return
      }
    }
    var new = violation()
    new.count = 1
    if kinds.count == Control.Violation.kindsMax {
      new.number = Control.Violation.others
      new.architecture = 0
    }
    kinds.append(Kind(violation: new))
    // A host that does not listen learns of it at the end: init waits for nobody.
    let packet = Control.Notice.denied(new).encoded()
    if lx_send_packet_now(InitDescriptor.control, packet, packet.count) >= 0 {
      kinds[kinds.count - 1].told = 1
    }
  }

  /// What the host does not know yet. The worker has ended.
  mutating func tellCounts() {
    for index in kinds.indices where kinds[index].told != kinds[index].violation.count {
      tell(.denied(kinds[index].violation))
      kinds[index].told = kinds[index].violation.count
    }
  }
}
