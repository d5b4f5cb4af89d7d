// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// The host that made a control group, as its name tells it: "lauter-NAMESPACE-PID-START-NUMBER". A host that was killed
/// leaves its groups behind, and the next one that looks takes them away.
package struct GroupOwner: Equatable, Sendable {
  /// The inode of its process namespace: elsewhere its pid is somebody else's.
  var namespace: UInt64
  var pid: UInt64
  /// When it was started, in the kernel's ticks since boot: a pid comes back.
  var start: UInt64

  init(namespace: UInt64, pid: UInt64, start: UInt64) {
    self.namespace = namespace
    self.pid = pid
    self.start = start
  }

  /// This process; nil where /proc does not tell.
  package static func here() -> GroupOwner? {
    guard let start = start(of: "self") else { return nil }
    // "pid:[4026531836]"
    var space: UInt64 = 0
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { link in
      let count = lx_readlink("/proc/self/ns/pid", link.baseAddress, link.count)
      for index in 0..<max(0, count) where (48...57).contains(link[index]) {
        space = space &* 10 &+ UInt64(link[index] - 48)
      }
    }
    guard space > 0 else { return nil }
    return GroupOwner(namespace: space, pid: UInt64(lx_getpid()), start: start)
  }

  package func name(_ number: UInt64) -> String { "lauter-\(namespace)-\(pid)-\(start)-\(number)" }

  init?(name: String) {
    let parts = name.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    guard parts.count == 5, parts[0].elementsEqual("lauter".utf8) else { return nil }
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
    self.init(namespace: numbers[0], pid: numbers[1], start: numbers[2])
  }

  /// The 22nd field of stat.
  static func start(of process: String) -> UInt64? {
    start(inStat: HostFile.contents("/proc/\(process)/stat", upTo: 4096) ?? [])
  }

  static func start(inStat text: [UInt8]) -> UInt64? {
    // The second is a name of the process's choice.
    guard let name = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = text[(name + 1)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19 else { return nil }
    return fields[19].reduce(0) { $0 &* 10 &+ UInt64($1 &- UInt8(ascii: "0")) }
  }

  /// Remove the groups in `folder` that hosts of this namespace left which are no more. One in which something still
  /// lives stays, until a later sweep.
  package func sweep(_ folder: String) {
    let names: [String]
    do throws(KernelError) { names = try HostFile.list(folder) } catch { return }
    for name in names {
      guard let owner = GroupOwner(name: name), owner.namespace == namespace,
        GroupOwner.start(of: "\(owner.pid)") != owner.start
      else { continue }
      _ = lx_rmdir("\(folder)/\(name)")
    }
  }
}
