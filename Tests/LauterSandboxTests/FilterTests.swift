// SPDX-License-Identifier: Apache-2.0

import CSandbox
import Glibc
import Testing

@testable import LauterSandbox

@Suite struct FilterTests {
  /// A whole filter, asked by the names of calls.
  struct Filter {
    let evaluator: FilterEvaluator
    let architecture = csandbox_native_architecture()

    init(
      internet: Bool = true, pass: UInt64? = nil, truncates: Bool = true, isPure: Bool = false,
      nests: Bool = false, countsMemory: Bool = false,
      violations: FilterWish.Telling = .silent, hasNamespaces: Bool = true
    ) throws {
      let wish = FilterWish(
        internet: internet, runsPrograms: pass == nil, nests: nests, truncatesByPath: truncates,
        isPure: isPure, countsMemory: countsMemory, violations: violations,
        hasNamespaces: hasNamespaces)
      evaluator = try FilterEvaluator(SeccompFilter.compile(wish).bytes(pass: pass ?? 0))
    }

    func decide(_ name: String, _ arguments: UInt64...) throws -> FilterEvaluator.Action {
      let number = try #require(SystemCalls.number(name), "\(name) is no call here")
      return try evaluator.decide(Int(number), architecture: architecture, arguments)
    }
  }

  @Test func `what is listed is allowed, what is refused is refused, the rest does not exist`()
    throws
  {
    let filter = try Filter()
    var counted = (allowed: 0, refused: 0)
    for group in SystemCalls.allowed {
      for name in group.names where SystemCalls.number(name) != nil {
        #expect(try filter.decide(name) == .allow, "\(name)")
        counted.allowed += 1
      }
    }
    let refused = SystemCalls.refused + SystemCalls.nesting + SystemCalls.probed
    for name in refused where SystemCalls.number(name) != nil {
      #expect(try filter.decide(name) == .errno(EPERM), "\(name)")
      counted.refused += 1
    }
    #expect(counted.allowed > 200 && counted.refused > 50)
    for number in [500, 999, 100_000, -1] {
      #expect(
        try filter.evaluator.decide(number, architecture: filter.architecture) == .errno(ENOSYS))
    }
    #expect(try filter.decide("clone3") == .errno(ENOSYS))
    #expect(try filter.decide("io_setup") == .errno(ENOSYS))
  }

  @Test func `where memory is added up, none lies where no look finds it`() throws {
    for name in ["memfd_create", "vmsplice"] {
      #expect(try Filter().decide(name) == .allow, "\(name)")
      for pass: UInt64? in [nil, 7] {
        let counted = try Filter(pass: pass, countsMemory: true)
        #expect(try counted.decide(name) == .errno(ENOSYS), "\(name)")
      }
    }
    #expect(
      try Filter(countsMemory: true, violations: .attacks).decide("memfd_create") == .errno(ENOSYS),
      "silently: libraries try it in all innocence")
  }

  @Test func `where Landlock does not look at truncate, no path can be truncated`() throws {
    #expect(try Filter().decide("truncate") == .allow)
    let older = try Filter(truncates: false)
    #expect(try older.decide("truncate") == .errno(EPERM))
    #expect(try older.decide("ftruncate") == .allow)
  }

  @Test func `who may nest makes namespaces and mounts, and attacks nothing else`() throws {
    let nesting = try Filter(nests: true)
    for name in SystemCalls.nesting where SystemCalls.number(name) != nil {
      #expect(try nesting.decide(name) == .allow, "\(name)")
    }
    for name in SystemCalls.refused where SystemCalls.number(name) != nil {
      #expect(try nesting.decide(name) == .errno(EPERM), "\(name)")
    }
    #expect(try Filter().decide("clone", 0x1000_0000) == .errno(EPERM))
    #expect(try nesting.decide("clone", 0x1000_0000) == .allow)
    for name in ["kill", "tgkill", "pidfd_open"] {
      #expect(try Filter().decide(name, 1) == .errno(EPERM))
      #expect(try Filter().decide(name, 2) == .allow)
      #expect(try nesting.decide(name, 1) == .allow)
    }
    // Their arguments lie where no filter looks: a mode with a set-user-id bit among them.
    for name in ["clone3", "openat2"] { #expect(try nesting.decide(name) == .errno(ENOSYS)) }
  }

  @Test func `no call is in two lists, and none twice`() {
    let names =
      SystemCalls.allowed.flatMap(\.names) + SystemCalls.refused + SystemCalls.nesting
      + SystemCalls.probed
    #expect(Set(names).count == names.count)
    #expect(Set(names).isDisjoint(with: ["socket", "socketpair", "personality", "clone3"]))
  }

  @Test func `without namespaces it refuses what they would have confined`() throws {
    let usual = try Filter()
    let bare = try Filter(internet: false, hasNamespaces: false)
    func refused(
      _ errno: Int32, _ name: String, _ arguments: [UInt64] = [], isNew: Bool = true
    ) throws {
      guard let number = SystemCalls.number(name) else { return }
      func decide(_ filter: Filter) throws -> FilterEvaluator.Action {
        try filter.evaluator.decide(
          Int(number), architecture: filter.architecture, arguments)
      }
      #expect(try decide(bare) == .errno(errno), "\(name) \(arguments)")
      if isNew { #expect(try decide(usual) == .allow, "\(name) \(arguments)") }
    }
    for name in ["chmod", "fchmodat2", "fchown", "setxattr", "removexattrat", "utimes"] {
      try refused(EPERM, name)
    }
    for name in ["inotify_init1", "shmget", "semop", "msgsnd", "mq_open"] {
      try refused(ENOSYS, name)
    }
    // A path of null: dates of what is open. One whose address ends in zeros is a path.
    #expect(try bare.decide("utimensat", 3, 0) == .allow)
    try refused(EPERM, "utimensat", [3, 0x7F00_0000_0000])
    try refused(EPERM, "utimensat", [3, 0x1234])
    // Oneself, and nobody else.
    for name in ["prlimit64", "sched_setaffinity", "sched_setscheduler"] {
      #expect(try bare.decide(name, 0) == .allow)
      try refused(EPERM, name, [4242])
    }
    #expect(try bare.decide("setpriority", 0, 0) == .allow)
    try refused(EPERM, "setpriority", [0, 4242])
    try refused(EPERM, "setpriority", [2, 0], isNew: false)
    // Pairs that stay with each other, and no other Unix socket.
    let flags: UInt64 = 0x8_0800
    for kind: UInt64 in [1, 5] {
      #expect(try bare.decide("socketpair", 1, kind | flags) == .allow)
    }
    for kind: UInt64 in [2, 3] { try refused(EACCES, "socketpair", [1, kind | flags]) }
    for kind: UInt64 in [1, 2, 5] { try refused(EACCES, "socket", [1, kind | flags]) }
    try refused(EACCES, "socket", [16, 3, 0])
    #expect(
      try Filter(internet: true, hasNamespaces: false).decide("socket", 16, 3, 0) == .allow)
    #expect(
      try Filter(internet: true, hasNamespaces: false).decide("socket", 2, 1, 0) == .allow)
  }

  @Test func `pure computation locks and watches no file and has its sockets in pairs`() throws {
    let pure = try Filter(internet: false, isPure: true)
    let other = try Filter(internet: false)
    for name in ["flock", "inotify_init", "inotify_init1"]
    where SystemCalls.number(name) != nil {
      #expect(try other.decide(name) == .allow, "\(name)")
      #expect(try pure.decide(name) == .errno(ENOSYS), "\(name)")
    }
    // With SOCK_NONBLOCK and SOCK_CLOEXEC as well as without.
    for flags: UInt64 in [0, 0x8_0800] {
      for (type, isPaired) in [(1, true), (2, false), (3, false), (5, true)] as [(UInt64, Bool)] {
        #expect(try other.decide("socketpair", 1, type | flags) == .allow)
        #expect(try other.decide("socket", 1, type | flags) == .allow)
        #expect(
          try pure.decide("socketpair", 1, type | flags) == (isPaired ? .allow : .errno(EACCES)))
        #expect(try pure.decide("socket", 1, type | flags) == .errno(EACCES))
      }
    }
    #expect(try pure.decide("socket", 2, 1) == .errno(EACCES))
    #expect(try pure.decide("fcntl", 3, 6) == .allow)
    #expect(try Filter(internet: true, isPure: true).decide("socket", 1, 1) == .allow)
  }

  @Test func `another architecture's entry leads nowhere`() throws {
    let filter = try Filter()
    let read = csandbox_call_number("read")
    #expect(try filter.evaluator.decide(read, architecture: filter.architecture) == .allow)
    // i386, and on x86_64 the calls of x32, which come with the same architecture and bit 30 of the
    // number.
    #expect(try filter.evaluator.decide(read, architecture: 0x4000_0003) == .errno(EPERM))
    #expect(try filter.evaluator.decide(3, architecture: 0x4000_0003) == .errno(EPERM))
    if filter.architecture == 0xC000_003E {
      let number = Int(read) | 0x4000_0000
      #expect(
        try filter.evaluator.decide(number, architecture: filter.architecture) == .errno(EPERM))
    }
  }

  @Test func `what belongs to the attack surface is told, and nothing else`() throws {
    let telling = try Filter(violations: .attacks)
    let silent = try Filter()
    for name in SystemCalls.refused + SystemCalls.nesting where SystemCalls.number(name) != nil {
      #expect(try telling.decide(name) == .notify, "\(name)")
    }
    for name in SystemCalls.probed where SystemCalls.number(name) != nil {
      #expect(try telling.decide(name) == .errno(EPERM), "\(name)")
    }
    let forms: [(name: String, arguments: [UInt64], isTold: Bool)] = [
      ("clone", [0x1000_0000 | 17], true), ("clone", [17], false),
      ("ioctl", [0, 0x5412], true), ("ioctl", [0, 0x5412 | 1 << 32], true),
      ("ioctl", [0, 0x541B], false),
      ("socket", [40, 1, 0], true), ("socket", [38, 5, 0], true), ("socket", [17, 3, 0], true),
      ("socket", [9, 1, 0], false), ("socket", [16, 3, 15], false), ("socket", [2, 1, 0], false),
      ("prlimit64", [1], true), ("prlimit64", [0], false),
      ("fcntl", [3, 1024], true), ("fcntl", [3, 1031], false),
      ("chmod", [0, 0o4755], false), ("setsockopt", [3, 1, 13], false),
      ("personality", [0x40_0000], false), ("clone3", [], false), ("io_setup", [], false),
      ("read", [], false),
    ]
    for (name, arguments, isTold) in forms {
      let number = Int(try #require(SystemCalls.number(name)))
      func decide(_ filter: Filter) throws -> FilterEvaluator.Action {
        try filter.evaluator.decide(number, architecture: filter.architecture, arguments)
      }
      #expect(try (decide(telling) == .notify) == isTold, "\(name) \(arguments)")
      // Silent, it is the same but for the telling.
      let same: FilterEvaluator.Action = isTold ? .errno(EPERM) : try decide(telling)
      #expect(try decide(silent) == same, "\(name) \(arguments)")
    }
    #expect(try telling.evaluator.decide(3, architecture: 0x4000_0003) == .notify)
    #expect(try silent.evaluator.decide(3, architecture: 0x4000_0003) == .errno(EPERM))
    for number in [500, -1, 0x4000_0400] {
      #expect(
        try telling.evaluator.decide(number, architecture: telling.architecture) == .errno(ENOSYS))
    }
  }

  @Test func `where all is told nothing is refused`() throws {
    let filter = try Filter(internet: false, pass: 1, violations: .everything)
    for number in -1..<1000 {
      let action = try filter.evaluator.decide(number, architecture: filter.architecture)
      #expect(action == .allow || action == .notify, "\(number): \(action)")
    }
    #expect(try filter.decide("read") == .allow)
    #expect(try filter.decide("clone3") == .notify)
    #expect(try filter.decide("execve") == .notify)
    #expect(try filter.decide("socket", 2, 1, 0) == .notify)
    #expect(try filter.decide("chmod", 0, 0o4755) == .notify)
  }

  @Test func `an entry has a name, whoever's it is`() {
    let native = csandbox_native_architecture()
    let ptrace = UInt32(csandbox_call_number("ptrace"))
    #expect(CallEntry(native, ptrace).callName == "ptrace")
    #expect(CallEntry(native, ptrace).isNative)
    #expect(CallEntry(native, 467).callName == "open_tree_attr")
    #expect(CallEntry(native, 100_000).callName == nil)
    let i386 = CallEntry(0x4000_0003, 26)
    #expect((i386.name, i386.callName, i386.isNative) == ("i386", "ptrace", false))
    if native == 0xC000_003E {
      let x32 = CallEntry(native, 0x4000_0000)
      #expect((x32.name, x32.callName, x32.isNative) == ("x32", "read", false))
    }
    #expect(CallEntry(7, 1).name.isEmpty)
  }

  @Test func `processes and threads are made, namespaces are not`() throws {
    let filter = try Filter()
    let thread: UInt64 = 0x3D0F00
    #expect(try filter.decide("clone", UInt64(SIGCHLD)) == .allow)
    #expect(try filter.decide("clone", thread) == .allow)
    for namespace: UInt64 in [
      0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
    ] {
      #expect(try filter.decide("clone", namespace | UInt64(SIGCHLD)) == .errno(EPERM))
      #expect(try filter.decide("clone", namespace | thread | 1 << 40) == .errno(EPERM))
    }
  }

  @Test func `nothing is typed into a terminal, whatever stands in the upper half`() throws {
    let filter = try Filter()
    for request: UInt64 in [0x5401, 0x5413, 0x541B, 0x5421, 0x8912] {
      #expect(try filter.decide("ioctl", 0, request) == .allow)
    }
    for request: UInt64 in [0x5412, 0x541C] {
      for upper: UInt64 in [0, 1, 0xFFFF_FFFF] {
        #expect(try filter.decide("ioctl", 0, request | upper << 32) == .errno(EPERM))
      }
    }
  }

  @Test func `sockets are of the families and transports that are meant`() throws {
    let open = try Filter(internet: true)
    let closed = try Filter(internet: false)
    for filter in [open, closed] {
      #expect(try filter.decide("socket", UInt64(AF_UNIX), 1, 0) == .allow)
      #expect(try filter.decide("socketpair", UInt64(AF_UNIX), 1, 0) == .allow)
      #expect(try filter.decide("socket", UInt64(AF_NETLINK), 3, 0) == .allow)
      #expect(try filter.decide("socket", UInt64(AF_NETLINK), 3, 15) == .errno(ENOSYS))
      #expect(try filter.decide("socketpair", UInt64(AF_INET), 1, 0) == .errno(ENOSYS))
      for (family, error) in [
        (4, EAFNOSUPPORT), (31, EAFNOSUPPORT), (17, EPERM), (38, EPERM), (40, EPERM), (44, EPERM),
      ] as [(UInt64, Int32)] {
        #expect(try filter.decide("socket", family, 1, 0) == .errno(error))
        // The kernel does not look at the upper half; neither may the filter.
        #expect(try filter.decide("socket", family | 1 << 32, 1, 0) == .errno(error))
      }
    }
    for family in [UInt64(AF_INET), UInt64(AF_INET6)] {
      for transport: UInt64 in [0, 1, 6, 17, 58] {
        #expect(try open.decide("socket", family, 1, transport) == .allow)
        #expect(try closed.decide("socket", family, 1, transport) == .errno(EACCES))
      }
      for transport: UInt64 in [33, 132, 136, 255] {
        #expect(try open.decide("socket", family, 1, transport) == .errno(ENOSYS))
      }
    }
  }

  @Test func `memory that is read does not become code by a persona`() throws {
    let filter = try Filter()
    #expect(try filter.decide("personality", 0xFFFF_FFFF) == .allow)
    #expect(try filter.decide("personality", 0x4_0000) == .allow)
    #expect(try filter.decide("personality", 0x40_0000) != .allow)
  }

  @Test func `only who knows the pass executes a program`() throws {
    let pass: UInt64 = 0x0123_4567_89AB_CDEF
    let filter = try Filter(pass: pass)
    let at = pass & 0xFFFF_FFFF_0000_0000 | 0xFFFF_FF9C
    let flags = pass << 32
    #expect(try filter.decide("execveat", at, 1, 2, 3, flags) == .allow)
    #expect(try filter.decide("execveat", 0xFFFF_FF9C, 1, 2, 3, 0) == .errno(EPERM))
    #expect(try filter.decide("execveat", at, 1, 2, 3, 0) == .errno(EPERM))
    #expect(try filter.decide("execveat", 0, 1, 2, 3, flags) == .errno(EPERM))
    #expect(try filter.decide("execveat", at ^ 1 << 32, 1, 2, 3, flags) == .errno(EPERM))
    #expect(try filter.decide("execveat", at, 1, 2, 3, flags ^ 1 << 63) == .errno(EPERM))
    #expect(try filter.decide("execve", at, 1, 2, 3, flags) == .errno(EPERM))
    // Neither half is told to be right while the other is wrong: their differences do not cancel out.
    #expect(try filter.decide("execveat", at ^ 1 << 32, 1, 2, 3, flags ^ 1 << 32) == .errno(EPERM))
    // Its twin: without a pass both are allowed.
    #expect(try Filter().decide("execve", 1, 2, 3) == .allow)
    #expect(try Filter().decide("execveat", 0xFFFF_FF9C, 1, 2, 3, 0) == .allow)
  }

  @Test func `a launch pays little for the filter`() throws {
    // The kernel tries a program with every number when it is loaded: what counts is the way to an answer.
    for pass in [nil, 1] as [UInt64?] {
      let filter = try Filter(pass: pass)
      #expect(filter.evaluator.count < 450)
      var longest = 0
      for number in 0..<1000 {
        let steps = try filter.evaluator.steps(number, architecture: filter.architecture)
        longest = max(longest, steps)
      }
      #expect((8..<48).contains(longest), "\(longest)")
    }
  }

  @Test func `rules for numbers far apart, side by side and many are all found`() throws {
    var rules: [UInt32: CallRule] = [:]
    var checked = CallRule(otherwise: .fail(1))
    for value: UInt32 in 0..<40 { checked.add(.equal(0, value), .any(1, value), verdict: .allow) }
    for number in stride(from: UInt32(0), to: 900, by: 3) {
      rules[number] = number % 2 == 0 ? CallRule(otherwise: .allow) : checked
    }
    rules[4_000_000_000] = CallRule(otherwise: .fail(2))
    let program = SeccompProgram(rules, unknown: .fail(38), foreign: .fail(38)).bytes(pass: 0)
    #expect(program.count / 8 > 4096, "this is larger than any that is loaded")
    let evaluator = try FilterEvaluator(program, most: 40_000)
    let architecture = csandbox_native_architecture()
    for number in 0..<1000 {
      let expected: FilterEvaluator.Action =
        number % 3 != 0 || number >= 900 ? .errno(38) : number % 2 == 0 ? .allow : .errno(1)
      #expect(try evaluator.decide(number, architecture: architecture) == expected)
      if expected == .errno(1) {
        #expect(try evaluator.decide(number, architecture: architecture, [39, 1]) == .allow)
        #expect(try evaluator.decide(number, architecture: architecture, [39, 64]) == .errno(1))
      }
    }
    #expect(try evaluator.decide(4_000_000_000, architecture: architecture) == .errno(2))
    #expect(try evaluator.decide(4_000_000_001, architecture: architecture) == .errno(38))
  }

  @Test func `the evaluator notices a program that is none`() throws {
    #expect(throws: FilterEvaluator.Fault.notInstructions) { try FilterEvaluator([1, 2, 3]) }
    let endless = try FilterEvaluator([0x05, 0, 0, 0, 9, 0, 0, 0])
    #expect(throws: FilterEvaluator.Fault.outOfRange(10)) {
      try endless.decide(0, architecture: 0)
    }
  }

  @Test func `the whole machine's files are not written back`() throws {
    let filter = try Filter()
    for name in ["sync", "syncfs"] { #expect(try filter.decide(name) == .errno(0)) }
    for name in ["fsync", "fdatasync"] { #expect(try filter.decide(name) == .allow) }
  }

  @Test func `no file becomes a set-id program`() throws {
    let filter = try Filter()
    for bits: UInt64 in [0o4755, 0o2755, 0o6000] {
      #expect(try filter.decide("chmod", 0, bits) == .errno(EPERM))
      #expect(try filter.decide("fchmod", 3, bits) == .errno(EPERM))
      #expect(try filter.decide("fchmodat", 3, 0, bits) == .errno(EPERM))
      #expect(try filter.decide("creat", 0, bits) == .errno(EPERM))
      #expect(try filter.decide("mknod", 0, bits) == .errno(EPERM))
      #expect(try filter.decide("mknodat", 3, 0, bits) == .errno(EPERM))
      #expect(try filter.decide("open", 0, 0x41, bits) == .errno(EPERM))
      #expect(try filter.decide("openat", 3, 0, 0x41, bits) == .errno(EPERM))
      #expect(try filter.decide("openat", 3, 0, 0x41_0002, bits) == .errno(EPERM))
      // Without O_CREAT and O_TMPFILE there is no mode: what lies in its place means nothing.
      #expect(try filter.decide("openat", 3, 0, 0x8_0000, bits) == .allow)
    }
    #expect(try filter.decide("chmod", 0, 0o1777) == .allow)
    #expect(try filter.decide("openat", 3, 0, 0x41, 0o644) == .allow)
    // Its mode lies behind a pointer.
    #expect(try filter.decide("openat2") == .errno(ENOSYS))
  }

  @Test func `no socket lingers, other options are free`() throws {
    let filter = try Filter()
    #expect(try filter.decide("setsockopt", 3, 1, 13) == .errno(EPERM))
    #expect(try filter.decide("setsockopt", 3, 1 | 1 << 40, 13 | 1 << 40) == .errno(EPERM))
    #expect(try filter.decide("setsockopt", 3, 1, 2) == .allow)
    #expect(try filter.decide("setsockopt", 3, 6, 13) == .allow)
  }

  @Test func `init keeps its time and its limits`() throws {
    let filter = try Filter()
    for name in [
      "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr", "prlimit64",
    ] {
      #expect(try filter.decide(name, 1) == .errno(EPERM), "\(name)")
      #expect(try filter.decide(name, 0) == .allow, "\(name)")
      #expect(try filter.decide(name, 7) == .allow, "\(name)")
    }
    #expect(try filter.decide("setpriority", 0, 1) == .errno(EPERM))
    #expect(try filter.decide("setpriority", 2, 0) == .errno(EPERM))
    #expect(try filter.decide("setpriority", 0, 0) == .allow)
  }

  @Test func `no lease keeps the machine's programs waiting`() throws {
    let filter = try Filter()
    #expect(try filter.decide("fcntl", 3, 1024) == .errno(EPERM))
    #expect(try filter.decide("fcntl", 3, 1040) == .errno(EPERM))
    #expect(try filter.decide("fcntl", 3, 1031) == .errno(EPERM))
    #expect(try filter.decide("fcntl", 3, 1030) == .allow)
  }
}
