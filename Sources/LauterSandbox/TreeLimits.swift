// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// By what a worker's limits hold for all its processes together. Decided before its plan is made.
package struct TreeLimits: Equatable, Sendable {
  package enum Memory: UInt8, Sendable {
    /// There is no limit.
    case none
    /// The kernel, for each process alone: init cannot see them.
    case process
    /// Init adds up what the processes have, by looking.
    case sum
    /// The kernel, by a control group of version 1 or 2.
    case group1
    case group2

    /// As a report has it.
    package var name: StaticString {
      switch self {
      case .none: ""
      case .process: "process"
      case .sum: "sum"
      case .group1: "cgroup v1"
      case .group2: "cgroup v2"
      }
    }
  }

  package var memory = Memory.none
  /// The version of the group that counts CPU time; 0: init adds it up.
  package var cpuVersion: UInt8 = 0
  /// The version of the group that bounds how many processors are used at a time; 0: none can be made.
  package var shareVersion: UInt8 = 0
  /// Of version 1: one group both counts and bounds.
  package var sharesWhereCounted = false
  /// Of version 2: init is born in the group, and so are all. To enter it later takes the kernel 5 to 20 ms.
  package var beginsInGroup = false
  /// The version of the group that counts processes; 0: the kernel does, by user id and namespace.
  package var processVersion: UInt8 = 0

  package init() {}

  /// Whether one group of version 2 holds all limits.
  package var isUnified: Bool {
    memory == .group2 || cpuVersion == 2 || shareVersion == 2 || processVersion == 2
  }

  private func places(_ policy: Policy, _ before: [Step]) -> MemoryPlaces {
    guard policy.isConfined, !before.isEmpty else { return [] }
    var places: MemoryPlaces = .systemV
    for step in before {
      guard case .tmpfs(let path, _, _) = step else { continue }
      if path.utf8.elementsEqual("/tmp".utf8) { places.insert(.temporary) }
      if path.utf8.elementsEqual("/dev/shm".utf8) { places.insert(.shared) }
      if path.utf8.elementsEqual("/home/worker".utf8) { places.insert(.home) }
    }
    return places
  }

  /// What init and the worker are to do. Their descriptors come behind `trees` mounts, in the order in which they are
  /// named here: of version 2 `cgroup.procs`, `memory.events` and `cpu.stat`; of version 1 `tasks`,
  /// `memory.oom_control` and a bell, then `tasks` and `cpuacct.usage`, then `tasks` of a share and of processes, as far as there
  /// are such groups.
  func steps(_ policy: Policy, behind trees: Int, _ before: [Step] = []) -> [Step] {
    var watches: [Step] = []
    var joins: [Step] = []
    var next = UInt16(Int(InitDescriptor.firstTree) + trees)
    func take() -> UInt16 {
      next += 1
      return next - 1
    }
    func join(_ limits: String) { joins.append(.joinGroup(descriptor: take(), limits: limits)) }
    if memory == .sum, let bytes = policy.memoryBytes {
      watches.append(.sumMemory(bytes: bytes, places: places(policy, before)))
    }
    let size = "\(policy.memoryBytes ?? 0) bytes"
    if isUnified {
      if beginsInGroup { _ = take() } else { join(memory == .group2 ? size : "version 2") }
      let events = take()
      let usage = take()
      if memory == .group2 {
        watches.append(.watchMemory(version: 2, descriptor: events, bell: 0))
      }
      if cpuVersion == 2 { watches.append(.countCPU(version: 2, descriptor: usage)) }
      return watches + joins
    }
    if memory == .group1 {
      join(size)
      let control = take()
      watches.append(.watchMemory(version: 1, descriptor: control, bell: take()))
    }
    if cpuVersion == 1 {
      join("CPU time")
      watches.append(.countCPU(version: 1, descriptor: take()))
    }
    if shareVersion == 1 && !sharesWhereCounted { join("a share of CPU time") }
    if processVersion == 1 { join("\(policy.processes ?? 0) processes") }
    return watches + joins
  }
}
