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

/// What decides about a filter: two policies that agree here share one program.
struct FilterWish: Equatable {
  /// Internet sockets may be made (what they reach is the namespace's to say).
  var internet: Bool
}

/// Seccomp programs: which calls by libseccomp, and before them the few checks of arguments, in the
/// kernel's own words.
enum SeccompFilter {
  /// The list of calls, as `struct sock_filter`s.
  static func compile(_ wish: FilterWish) throws(SandboxError) -> [UInt8] {
    // Unknown and newer calls do not exist: libraries then take their older way. So does another
    // architecture's entry.
    let absent = csandbox_errno(UInt32(ENOSYS))
    guard let filter = csandbox_filter_new(absent, absent) else {
      throw SandboxError(
        .system, subject: "seccomp", message: "seccomp: libseccomp gave no filter", errno: ENOMEM)
    }
    defer { csandbox_filter_free(filter) }
    for group in SystemCalls.allowed {
      for name in group.names { try add(filter, csandbox_allow(), name) }
    }
    let refused = csandbox_errno(UInt32(EPERM))
    for name in SystemCalls.refused { try add(filter, refused, name) }
    try addSockets(filter, wish)
    // The query, Linux, and without address randomisation (0x40000), as debuggers and some Lisps
    // want it; none that makes readable memory executable.
    for persona: UInt32 in [0xFFFF_FFFF, 0, 0x4_0000] {
      let condition = equal(0, Int32(bitPattern: persona))
      try add(filter, csandbox_allow(), "personality", [condition])
    }
    return try export(filter)
  }

  private static func add(
    _ filter: OpaquePointer, _ action: UInt32, _ name: String,
    _ conditions: [csandbox_condition] = []
  ) throws(SandboxError) {
    let result = csandbox_filter_rule(filter, action, name, conditions, conditions.count)
    if result < 0 {
      throw SandboxError(
        .system, subject: "seccomp",
        message: "seccomp: no rule for \(name): \(errnoText(Int32(-result)))",
        errno: Int32(-result))
    }
  }

  /// socket(2) takes ints: the upper halves of the arguments are not the kernel's to see, and not
  /// ours.
  private static func equal(_ argument: UInt32, _ value: Int32) -> csandbox_condition {
    csandbox_condition(
      argument: argument, mask: 0xFFFF_FFFF, value: UInt64(UInt32(bitPattern: value)))
  }

  private static func addSockets(
    _ filter: OpaquePointer, _ wish: FilterWish
  ) throws(SandboxError) {
    let unix: Int32 = 1
    let internet: [Int32] = [2, 10]
    let netlink: Int32 = 16
    try add(filter, csandbox_allow(), "socket", [equal(0, unix)])
    try add(filter, csandbox_allow(), "socketpair", [equal(0, unix)])
    for family in internet {
      if wish.internet {
        // By default, ICMP's echo, TCP, UDP, ICMPv6's echo. Others load rarely used kernel modules.
        for transport: Int32 in [0, 1, 6, 17, 58] {
          try add(filter, csandbox_allow(), "socket", [equal(0, family), equal(2, transport)])
        }
      } else {
        try add(filter, csandbox_errno(UInt32(EACCES)), "socket", [equal(0, family)])
      }
    }
    // NETLINK_ROUTE tells getifaddrs(3) the interfaces; it changes none without a capability.
    try add(filter, csandbox_allow(), "socket", [equal(0, netlink), equal(2, 0)])
    // Families that programs probe for: IPX, AppleTalk, X.25, PACKET, CAN, TIPC, Bluetooth, ALG,
    // VSOCK (no network namespace confines it), XDP. Of the rest socket(2) says that it does not
    // exist.
    for family: Int32 in [4, 5, 9, 17, 29, 30, 31, 38, 40, 44] {
      try add(filter, csandbox_errno(UInt32(EAFNOSUPPORT)), "socket", [equal(0, family)])
    }
  }

  private static func export(_ filter: OpaquePointer) throws(SandboxError) -> [UInt8] {
    let fd = csandbox_filter_export(filter)
    guard fd >= 0 else {
      throw SandboxError(
        .system, subject: "seccomp",
        message: "seccomp: the filter cannot be exported: \(errnoText(Int32(-fd)))",
        errno: Int32(-fd))
    }
    let file = OwnedFD(adopting: Int32(fd))
    var status = lx_status()
    _ = lx_fstat(file.raw, &status)
    var program = [UInt8](repeating: 0, count: Int(status.size))
    let count = lx_pread(file.raw, &program, program.count, 0)
    guard count == program.count, count > 0, count % 8 == 0 else {
      throw SandboxError(
        .system, subject: "seccomp", message: "seccomp: the exported filter cannot be read",
        errno: EIO)
    }
    return program
  }
}
