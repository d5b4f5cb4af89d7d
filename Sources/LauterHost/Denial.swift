// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  package import LauterPlan
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif

/// A call that was not the worker's to make.
package struct Denial: Sendable {
  package let call: Control.Violation
  /// "ptrace"; empty if nobody knows it by a name.
  package let name: String
  /// "x86_64", "i386"; empty if it is another.
  package let architecture: String
  /// It was made all the same.
  package let wasObserved: Bool
  /// How often it was made, as far as init has told.
  package var count: UInt64

  init(_ call: Control.Violation, wasObserved: Bool) {
    self.call = call
    self.wasObserved = wasObserved
    count = call.count
    let entry = CallEntry(call.architecture, call.number)
    architecture = entry.name
    name = entry.callName ?? ""
  }

  /// It stands for all that are not told apart.
  package var isOthers: Bool { call.number == Control.Violation.others }

  /// "blocked system call ptrace (101) by thread 7 at 0x7f20c1e5a3b9".
  package var sentence: String {
    let done = wasObserved ? "observed" : "blocked"
    if isOthers {
      return "\(done) other system calls, of more kinds than are told apart"
    }
    let foreign = architecture.isEmpty ? "foreign " : isNative ? "" : "\(architecture) "
    let named = name.isEmpty ? "\(call.number)" : "\(name) (\(call.number))"
    let place = "0x" + String(call.programCounter, radix: 16)
    return "\(done) \(foreign)system call \(named) by thread \(call.thread) at \(place)"
  }

  private var isNative: Bool { CallEntry(call.architecture, call.number).isNative }
}

extension Host {
  /// Init tells of a call when it is first made, and of how often it was made at the end.
  func denied(_ worker: Worker, _ violation: Control.Violation) {
    if let index = worker.denials.firstIndex(where: { $0.call.isSame(violation) }) {
      worker.denials[index].count = violation.count
      return
    }
    guard worker.denials.count <= Control.Violation.kindsMax else {
      return perform(worker.lifecycle.end(.badNotice, now: lx_now()), worker)
    }
    let denial = Denial(violation, wasObserved: worker.policy.violations == .observe)
    worker.denials.append(denial)
    let event = Event(LAUTER_EVENT_DENIED, of: worker)
    event.denial = denial
    event.status = Int32(bitPattern: violation.number)
    drainStreams(worker)
    push(event, of: worker)
  }
}
