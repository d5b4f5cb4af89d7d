// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif

/// What decides about a filter: two policies that agree here share one program.
struct FilterWish: Equatable {
  /// Internet sockets may be made (what they reach is the namespace's to say).
  var internet: Bool
  /// Programs may be executed; else only the first, by who knows the pass.
  var runsPrograms: Bool
  /// Memory may be writable and executable, or become executable.
  var runsOwnCode = true
  /// Namespaces may be made, and mounts in them.
  var nests = false
  /// truncate(2) is the mounts' and Landlock's to judge; else it is refused, whatever the path.
  var truncatesByPath = true
  /// Pure computation (`strict`): no file is watched or locked, and without a network sockets come in pairs alone.
  var isPure = false
  /// Memory is added up by looking at processes: none may lie where no look finds it.
  var countsMemory = false
  var violations = Telling.silent
  /// Without them the worker shares the machine's files, processes and objects with all of its user's programs.
  var hasNamespaces = true

  /// Of which calls init is told.
  enum Telling {
    case silent
    /// Those that belong to the attack surface.
    case attacks
    /// All that are refused, for whatever reason.
    case everything
  }
}

/// Which call gets which answer.
struct SeccompFilter {
  private var rules: [UInt32: CallRule] = [:]
  /// What programs and libraries try in all innocence, and do without.
  private static let refused = Verdict.fail(EPERM)
  /// What reaches past the sandbox or into seldom visited parts of the kernel, and hardly anybody tries who does not mean
  /// to.
  private static let attack = Verdict.tell
  /// Unknown and newer calls do not exist: libraries then take their older way.
  private static let absent = Verdict.fail(ENOSYS)

  static func compile(_ wish: FilterWish) -> SeccompProgram {
    var filter = SeccompFilter()
    for group in SystemCalls.allowed {
      for name in group.names { filter.set(name, .init(otherwise: .allow)) }
    }
    for name in SystemCalls.refused { filter.set(name, .init(otherwise: attack)) }
    for name in SystemCalls.nesting {
      filter.set(name, .init(otherwise: wish.nests ? .allow : attack))
    }
    for name in SystemCalls.probed { filter.set(name, .init(otherwise: refused)) }
    for name in SystemCalls.idle { filter.set(name, .init(otherwise: .fail(0))) }
    filter.checkFiles()
    filter.checkProcesses(wish)
    if !wish.runsOwnCode { filter.checkMemory() }
    if !wish.truncatesByPath { filter.set("truncate", .init(otherwise: refused)) }
    filter.checkSockets(wish)
    if wish.isPure {
      // In a folder that may only be read they tell of others, or make them wait. (Locks of ranges stay, which SQLite
      // takes on what it may write: a filter does not see which file is meant.)
      for name in ["flock", "inotify_init", "inotify_init1"] {
        filter.set(name, .init(otherwise: absent))
      }
    }
    filter.protectInit(wish)
    if !wish.hasNamespaces { filter.replaceNamespaces(wish) }
    if wish.countsMemory { filter.hideNoMemory() }
    return SeccompProgram(
      filter.rules.mapValues { rule in
        CallRule(
          cases: rule.cases.map { .init(tests: $0.tests, verdict: told($0.verdict, wish)) },
          otherwise: told(rule.otherwise, wish))
      }, unknown: told(absent, wish), foreign: told(attack, wish))
  }

  /// `verdict` as far as somebody wants to be told.
  private static func told(_ verdict: Verdict, _ wish: FilterWish) -> Verdict {
    switch (verdict, wish.violations) {
    case (.tell, .silent): refused
    case (.fail, .everything): .tell
    default: verdict
    }
  }

  /// Nothing where this machine has no such call.
  private mutating func set(_ name: String, _ rule: CallRule) {
    if let number = SystemCalls.number(name) { rules[number] = rule }
  }

  private mutating func checkFiles() {
    // TIOCSTI and TIOCLINUX put bytes into the terminal's input, as if typed (a host's shell reads them); TIOCSETD
    // loads rarely used line disciplines.
    var ioctl = CallRule(otherwise: .allow)
    for request: UInt32 in [0x5412, 0x541C, 0x5423] {
      ioctl.add(.equal(1, request), verdict: SeccompFilter.attack)
    }
    set("ioctl", ioctl)
    // A lease (F_SETLEASE, F_SETDELEG) on a file that the host opens makes that open(2) sleep until it is broken, again
    // and again; F_SETPIPE_SZ takes pages that are charged to the host's user.
    var fcntl = CallRule(otherwise: .allow)
    for command: UInt32 in [1024, 1040] {
      fcntl.add(.equal(1, command), verdict: SeccompFilter.attack)
    }
    fcntl.add(.equal(1, 1031), verdict: SeccompFilter.refused)
    set("fcntl", fcntl)
    // No set-user-id and no set-group-id bit on what lies in a folder of the machine: `nosuid` holds on the worker's
    // own mount, and others reach the file by another.
    let bits: UInt32 = 0o6000
    for (name, mode) in [
      ("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1), ("mknod", 1),
      ("mknodat", 2),
    ] as [(String, UInt32)] {
      set(name, .when(.any(mode, bits), then: SeccompFilter.refused))
    }
    // O_CREAT, __O_TMPFILE: without them there is no mode.
    for (name, flags) in [("open", 1), ("openat", 2)] as [(String, UInt32)] {
      set(
        name,
        .when(.any(flags, 0x40_0040), .any(flags + 1, bits), then: SeccompFilter.refused))
    }
  }

  private mutating func checkProcesses(_ wish: FilterWish) {
    // CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET: a user namespace gives capabilities, and
    // with them reach into parts of the kernel that ordinary users never see.
    if !wish.nests { set("clone", .when(.any(0, 0x7E02_0000), then: SeccompFilter.attack)) }
    // The query, Linux, and without address randomisation (0x40000), as debuggers and some Lisps want it; none that
    // makes readable memory executable.
    var personality = CallRule(otherwise: SeccompFilter.absent)
    for persona: UInt32 in [0xFFFF_FFFF, 0, 0x4_0000] {
      personality.add(.equal(0, persona), verdict: .allow)
    }
    set("personality", personality)
    guard !wish.runsPrograms else { return }
    // The kernel does not look at the upper halves of execveat's descriptor and flags. What must be there only init
    // knows, and a worker cannot read its memory.
    set("execve", .init(otherwise: SeccompFilter.refused))
    set("execveat", .when(.pass(0, 4), then: .allow, otherwise: SeccompFilter.refused))
  }

  /// What can be executed cannot have been written: not at once, not before, not by another mapping. Files that the
  /// worker writes lie on mounts without execution; those of memfd_create(2) would not.
  private mutating func checkMemory() {
    let writable: UInt32 = 2
    let executable: UInt32 = 4
    set(
      "mmap",
      .when(.any(2, writable), .any(2, executable), then: SeccompFilter.refused))
    for name in ["mprotect", "pkey_mprotect"] {
      set(name, .when(.any(2, executable), then: SeccompFilter.refused))
    }
    set("shmat", .when(.any(2, 0x8000), then: SeccompFilter.refused))
    set("memfd_create", .init(otherwise: SeccompFilter.absent))
  }

  private mutating func checkSockets(_ wish: FilterWish) {
    let unix: UInt32 = 1
    let internet: [UInt32] = [2, 10]
    let netlink: UInt32 = 16
    // One in a readable folder could be connected to. A pair speaks to itself alone, but for datagrams (2, and 3, which
    // is the same here): each of those can be given an address.
    let pairsAlone = wish.isPure && !wish.internet
    var pair = CallRule(otherwise: SeccompFilter.absent)
    if pairsAlone { pair.add(.equal(0, unix), .any(1, 2), verdict: .fail(EACCES)) }
    pair.add(.equal(0, unix), verdict: .allow)
    set("socketpair", pair)
    var socket = CallRule(otherwise: SeccompFilter.absent)
    socket.add(.equal(0, unix), verdict: pairsAlone ? .fail(EACCES) : .allow)
    // Families that programs probe for: IPX, AppleTalk, X.25, CAN, TIPC, Bluetooth. Of the rest socket(2) says that it
    // does not exist.
    for family: UInt32 in [4, 5, 9, 29, 30, 31] {
      socket.add(.equal(0, family), verdict: .fail(EAFNOSUPPORT))
    }
    // PACKET, ALG, VSOCK (no network namespace confines it), XDP.
    for family: UInt32 in [17, 38, 40, 44] {
      socket.add(.equal(0, family), verdict: SeccompFilter.attack)
    }
    for family in internet {
      if wish.internet {
        // By default, ICMP's echo, TCP, UDP, ICMPv6's echo. Others load rarely used kernel modules.
        for transport: UInt32 in [0, 1, 6, 17, 58] {
          socket.add(.equal(0, family), .equal(2, transport), verdict: .allow)
        }
      } else {
        socket.add(.equal(0, family), verdict: .fail(EACCES))
      }
    }
    // NETLINK_ROUTE tells getifaddrs(3) the interfaces; it changes none without a capability.
    socket.add(.equal(0, netlink), .equal(2, 0), verdict: .allow)
    set("socket", socket)
    // A worker can send the host a connection and let it linger: the host's receive would close it, and wait for up to
    // eighteen hours. (Linux 6.16 lets the host refuse descriptors altogether, which it does.) SOL_SOCKET, SO_LINGER.
    set("setsockopt", .when(.equal(1, 1), .equal(2, 13), then: SeccompFilter.refused))
  }

  /// What neither Landlock nor a mount confines, and would reach what else the worker's user has.
  private mutating func replaceNamespaces(_ wish: FilterWish) {
    // Landlock knows no right to change modes, owners, dates and attributes; a path may lead anywhere, and a descriptor to
    // what may only be read.
    setAll(
      """
      chmod chown fchmod fchmodat fchmodat2 fchown fchownat \
      fremovexattr fsetxattr futimesat lchown lremovexattr lsetxattr removexattr \
      removexattrat setxattr setxattrat utime utimes
      """,
      .init(otherwise: SeccompFilter.refused))
    // futimens(3) is this call without a path.
    set(
      "utimensat",
      .when(.equal(1, 0), .upperIs(1, 0), then: .allow, otherwise: SeccompFilter.refused))
    // Who opens what, below any folder whose names are known; System V's objects and POSIX' queues have no path at all.
    setAll(
      """
      inotify_add_watch inotify_init inotify_init1 mq_getsetattr mq_notify mq_open mq_timedreceive \
      mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl \
      semget semop semtimedop shmat shmctl shmdt shmget
      """,
      .init(otherwise: SeccompFilter.absent))
    // Other processes' priorities, processors and limits: one may change one's own.
    setAll(
      """
      prlimit64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler
      """,
      .when(.equal(0, 0), then: .allow, otherwise: SeccompFilter.refused))
    for (name, user) in [("setpriority", 2), ("ioprio_set", 3)] as [(String, UInt32)] {
      var rule = CallRule(otherwise: SeccompFilter.refused)
      rule.add(.equal(0, user), verdict: SeccompFilter.refused)
      rule.add(.equal(1, 0), verdict: .allow)
      set(name, rule)
    }
    // A Unix socket may be connected to whatever the user's programs listen at, and Landlock does not stop that. A pair of
    // them is connected already, for good: but for datagrams, which can be sent elsewhere. (SOCK_STREAM is 1,
    // SOCK_SEQPACKET 5, SOCK_DGRAM 2, SOCK_RAW 3.)
    var pair = CallRule(otherwise: SeccompFilter.absent)
    pair.add(.any(1, 2), verdict: .fail(EACCES))
    pair.add(.equal(0, 1), verdict: .allow)
    set("socketpair", pair)
    guard var socket = SystemCalls.number("socket").flatMap({ rules[$0] }) else { return }
    socket.cases.insert(.init(tests: [.equal(0, 1)], verdict: .fail(EACCES)), at: 0)
    // The machine's interfaces and addresses.
    if !wish.internet {
      socket.cases.insert(.init(tests: [.equal(0, 16)], verdict: .fail(EACCES)), at: 0)
    }
    set("socket", socket)
  }

  private mutating func setAll(_ names: StaticString, _ rule: CallRule) {
    words(of: names) { name in
      if let number = SystemCalls.number(name) { rules[number] = rule }
    }
  }

  /// What no figure of any process shows: pages given to a pipe, of which one byte holds a huge one; a memfd that none has
  /// mapped, on its way through a socket. Libraries copy instead, or take a file in a folder, which is counted; so do hosts.
  private mutating func hideNoMemory() {
    for name in ["vmsplice", "memfd_create"] { set(name, .init(otherwise: SeccompFilter.absent)) }
  }

  /// Init has the worker's user id, so the worker could starve it or take its limits: then the wall clock, orders and
  /// the report of the end come late or never.
  private mutating func protectInit(_ wish: FilterWish) {
    // The kernel lets no signal through to it, but says that it did where no Landlock refuses (before Linux 6.12). Who nests
    // has a process 1 of his own.
    if !wish.nests {
      setAll(
        "kill pidfd_open rt_sigqueueinfo rt_tgsigqueueinfo tgkill tkill",
        .when(.equal(0, 1), then: SeccompFilter.refused))
    }
    for name in [
      "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "prlimit64",
    ] {
      set(name, .when(.equal(0, 1), then: SeccompFilter.attack))
    }
    // Who is 1, or all of a user's: PRIO_USER, IOPRIO_WHO_USER.
    for (name, user) in [("setpriority", 2), ("ioprio_set", 3)] as [(String, UInt32)] {
      var rule = CallRule(otherwise: .allow)
      rule.add(.equal(0, user), verdict: SeccompFilter.refused)
      rule.add(.equal(1, 1), verdict: SeccompFilter.refused)
      set(name, rule)
    }
  }
}
