// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// What this kernel, and this process' place in it, can do for a sandbox: looked at once for each
/// host.
package struct KernelOffer: Equatable, Sendable {
  /// Landlock's ABI, 0 without it.
  package var landlock: Int
  /// May map other user ids than its own, and has a range of them: the worker gets an id that
  /// nobody else has.
  package var mapsUsers: Bool
  package var uid: UInt32
  package var gid: UInt32
  /// Whether `uid` is the machine's root, on whom the kernel enforces no count of processes.
  package var isMachineRoot: Bool
  /// Has groups besides its own, which an ordinary user's worker cannot shed.
  package var hasGroups: Bool
  /// The range of outer ids that a worker's is chosen from.
  package var firstUser: UInt32
  package var userCount: UInt32
  package var lastCapability: UInt32
  /// Whether /proc/sys can be written, where the kernel's quotas for the worker's own namespace are set.
  package var setsQuotas: Bool
  package var openFilesSoft: UInt64
  package var openFilesHard: UInt64
  /// Why no user namespace can be made, with the remedy; nil if nothing is known to be in the way.
  package var obstacle: Diagnosis?
  /// What kept us from looking: then the rest is not to be relied on.
  package var trouble: SandboxError?

  /// Look at this machine.
  package init() {
    trouble = nil
    let abi = lx_landlock_abi()
    landlock = max(0, abi)
    if abi < 0 && HostFile.isShortage(Int32(-abi)) {
      trouble = KernelOffer.trouble("landlock", "landlock_create_ruleset", Int32(-abi))
    }
    uid = UInt32(lx_geteuid())
    gid = UInt32(lx_getegid())
    // An error is of more groups than we ask for.
    hasGroups = lx_has_other_groups() != 0
    let last = csandbox_last_capability()
    lastCapability = last > 0 ? UInt32(last) : 40
    var soft: UInt64 = 1024
    var hard: UInt64 = 4096
    let limited = lx_getrlimit(UInt32(LX_RLIMIT_NOFILE), &soft, &hard)
    if limited < 0 { trouble = KernelOffer.trouble("limits", "getrlimit", Int32(-limited)) }
    openFilesSoft = soft
    openFilesHard = hard

    var ranges: [Range] = []
    var groups: [Range] = []
    do throws(KernelError) {
      ranges = KernelOffer.ranges(try HostFile.bytes(of: "/proc/self/uid_map", upTo: 4096))
      groups = KernelOffer.ranges(try HostFile.bytes(of: "/proc/self/gid_map", upTo: 4096))
    } catch {
      // A worker without namespaces, which is a host, may not look at this: it maps nobody.
      if error.errno != EACCES {
        trouble = KernelOffer.trouble("/proc/self/uid_map", "read", error.errno)
      }
      if error.errno == ENOENT {
        trouble!.kind = .unsupported
        trouble!.message += "; a host needs /proc: mount it"
      }
    }
    isMachineRoot =
      uid == 0 && (ranges.isEmpty || ranges.contains { $0.inside == 0 && $0.outside == 0 })
    (firstUser, userCount) = KernelOffer.choose(ranges, groups)
    // Setting up such a map, and the mounts for it, takes these.
    let needed = [KernelOffer.setgid, KernelOffer.setuid, KernelOffer.sysAdmin]
    obstacle = nil
    setsQuotas = lx_is_writable_mount("/proc/sys/user") > 0
    mapsUsers = userCount > 0
    for capability in needed {
      let has = csandbox_has_capability(capability)
      if has < 0 { trouble = KernelOffer.trouble("capabilities", "capget", Int32(-has)) }
      if has != 1 { mapsUsers = false }
    }
    if Circumstances.setting(NamespaceKind.user.knob) == 0 {
      obstacle = .switchedOff(.user)
    } else if !mapsUsers, Circumstances.setting("kernel.unprivileged_userns_clone") == 0 {
      obstacle = .ordinaryUserNamespacesOff
    }
  }

  private static func trouble(
    _ subject: String, _ call: StaticString, _ errno: Int32
  ) -> SandboxError {
    SandboxError(
      .system, subject: subject, message: "\(subject): \(call): \(errnoText(errno))", errno: errno)
  }

  private static let setgid: Int32 = 6
  private static let setuid: Int32 = 7
  private static let sysAdmin: Int32 = 21

  private struct Range {
    var inside: UInt64
    var outside: UInt64
    var count: UInt64

    func covers(_ first: UInt64, _ count: UInt64) -> Bool {
      first >= inside && first + count <= inside + self.count
    }
  }

  /// `/proc/PID/uid_map`: lines of three numbers.
  private static func ranges(_ text: [UInt8]) -> [Range] {
    var ranges: [Range] = []
    for line in text.split(separator: UInt8(ascii: "\n")) {
      let numbers = line.split(separator: UInt8(ascii: " ")).map { digits in
        digits.reduce(UInt64(0)) { $0 &* 10 &+ UInt64($1 &- UInt8(ascii: "0")) }
      }
      if numbers.count == 3 {
        ranges.append(Range(inside: numbers[0], outside: numbers[1], count: numbers[2]))
      }
    }
    return ranges
  }

  /// Where to take workers' ids from: 2³⁰ up, which nobody gives to people, services or containers;
  /// in a container that has 65,536 ids, 40,000 up.
  private static func choose(_ users: [Range], _ groups: [Range]) -> (UInt32, UInt32) {
    for (first, count) in [(0x4000_0000, 0x4000_0000), (40_000, 16_384)] as [(UInt64, UInt64)] {
      let fits: (Range) -> Bool = { $0.covers(first, count) }
      if users.contains(where: fits) && groups.contains(where: fits) {
        return (UInt32(first), UInt32(count))
      }
    }
    return (0, 0)
  }
}
