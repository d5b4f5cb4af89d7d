// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// The control groups of the worker, as far as init is told of them. It is in none of them itself, but for one of version 2
/// that it was born in.
struct Groups {
  private var memoryVersion: UInt8 = 0
  /// `memory.oom_control` or `memory.events`; -1 without.
  private(set) var memory: Int32 = -1
  /// Rung when there was no memory, here or in a group above.
  private(set) var bell: Int32 = -1
  private var cpuVersion: UInt8 = 0
  private(set) var cpu: Int32 = -1
  private var hasRung = false
  /// What init itself had used before there was a worker, where it is in the group too.
  private var usedBefore: UInt64 = 0

  init(_ plan: Plan) {
    for step in plan.steps {
      switch step {
      case .watchMemory(let version, let descriptor, let bell):
        memoryVersion = version
        memory = Int32(descriptor)
        if bell > 0 { self.bell = Int32(bell) }
      case .countCPU(let version, let descriptor):
        cpuVersion = version
        cpu = Int32(descriptor)
      default: break
      }
    }
    usedBefore = cpuTime() ?? 0
  }

  /// Whether one of the worker's processes was killed because its group had no memory left.
  mutating func hasRunOutOfMemory() -> Bool {
    // Both: where the machine runs out of memory the kernel kills as well, and rings no bell; where a group above does, it
    // rings here too, and kills there.
    switch memoryVersion {
    case 1:
      var rings: UInt64 = 0
      if lx_read(bell, &rings, 8) == 8 { hasRung = true }
      guard hasRung else { return false }
    case 2: guard Groups.number(behind: "oom ", in: memory) ?? 0 > 0 else { return false }
    default: return false
    }
    return Groups.number(behind: "oom_kill ", in: memory) ?? 0 > 0
  }

  /// Nanoseconds of CPU time that all who ever were in the group have used; nil if no group counts.
  func cpuTime() -> UInt64? {
    let used: UInt64? =
      switch cpuVersion {
      case 1: Groups.number(behind: "", in: cpu)
      case 2: Groups.number(behind: "usage_usec ", in: cpu).map { $0 &* 1000 }
      default: nil
      }
    return used.map { $0 &- min($0, usedBefore) }
  }

  /// The number behind `key` at the beginning of a line.
  private static func number(behind key: StaticString, in fd: Int32) -> UInt64? {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2048) { buffer in
      let size = key.utf8CodeUnitCount
      let count = lx_pread(fd, buffer.baseAddress, buffer.count, 0)
      var start = 0
      while start + size < count {
        if memcmp(buffer.baseAddress! + start, key.utf8Start, size) == 0 {
          var value: UInt64 = 0
          var at = start + size
          while at < count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(buffer[at]) {
            value = value &* 10 &+ UInt64(buffer[at] - UInt8(ascii: "0"))
            at += 1
          }
          return at > start + size ? value : nil
        }
        while start < count, buffer[start] != UInt8(ascii: "\n") { start += 1 }
        start += 1
      }
      return nil
    }
  }
}
