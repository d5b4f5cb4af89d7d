// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// The host that made a control group, as its name tells it: "lauter-NAMESPACE-PID-NUMBER". A host that was killed leaves
/// its groups behind, and the next one that looks takes them away.
package struct GroupOwner: Equatable, Sendable {
  /// The inode of its process namespace: elsewhere its pid is somebody else's.
  var namespace: UInt64
  var pid: UInt64

  init(namespace: UInt64, pid: UInt64) {
    self.namespace = namespace
    self.pid = pid
  }

  /// This process; nil where /proc does not tell.
  package static func here() -> GroupOwner? {
    // "pid:[4026531836]"
    var space: UInt64 = 0
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { link in
      let count = lx_readlink("/proc/self/ns/pid", link.baseAddress, link.count)
      for index in 0..<max(0, count) where (48...57).contains(link[index]) {
        space = space &* 10 &+ UInt64(link[index] - 48)
      }
    }
    guard space > 0 else { return nil }
    return GroupOwner(namespace: space, pid: UInt64(lx_getpid()))
  }

  package func name(_ number: UInt64) -> String { "lauter-\(namespace)-\(pid)-\(number)" }

  init?(name: String) {
    let parts = name.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0].elementsEqual("lauter".utf8) else { return nil }
    var numbers: [UInt64] = []
    for part in parts[1...] {
      guard (1...19).contains(part.count) else { return nil }
      var value: UInt64 = 0
      for byte in part {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + UInt64(byte - UInt8(ascii: "0"))
      }
      numbers.append(value)
    }
    guard (1...UInt64(Int32.max)).contains(numbers[1]) else { return nil }
    self.init(namespace: numbers[0], pid: numbers[1])
  }

  /// Whether the kernel says that there is no such process. Nothing less will do: a group of a living host may be empty for
  /// a moment, and would be taken from below the worker that is about to enter it. Where the pid has come back by now,
  /// the group stays until its new owner ends, too.
  private var isGone: Bool { lx_kill(Int32(pid), 0) == -Int(ESRCH) }

  /// Remove the groups in `folder` that hosts of this namespace left which are no more. One in which something still
  /// lives stays, until a later sweep.
  package func sweep(_ folder: String) {
    let names: [String]
    do throws(KernelError) { names = try HostFile.list(folder) } catch { return }
    for name in names {
      guard let owner = GroupOwner(name: name), owner.namespace == namespace, owner.isGone else {
        continue
      }
      _ = lx_rmdir("\(folder)/\(name)")
    }
  }
}
