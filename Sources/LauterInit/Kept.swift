// SPDX-License-Identifier: Apache-2.0

#if canImport(CInit)
  import CInit
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// What init keeps of what it walked: it has no memory of its own, since that is forgotten once the worker runs.
struct Kept: ~Copyable {
  /// The folder of the worker's processes, if the plan gives one.
  var processes: OwnedFD?
  /// Where there are no namespaces, the worker's own folder.
  private var scratch = cinit_scratch(base: -1, folder: -1, number: 0)
  /// The guard's pid; nil where a process namespace does its work.
  var guardian: Int32?

  /// How long init may take to remove the worker's folder; the rest is for another's.
  private static let patience: UInt32 = 2_000

  mutating func makeScratch(
    _ base: String, _ number: UInt64, hasHome: Bool
  ) throws(KernelError) {
    guard let call = cinit_scratch_make(&scratch, base, number, hasHome ? 1 : 0) else { return }
    throw KernelError(call: Kept.name(call), errno: lx_errno())
  }

  private static func name(_ call: UnsafePointer<CChar>) -> StaticString {
    for name: StaticString in ["open", "openat", "flock", "renameat"] {
      if strcmp(name.cString, call) == 0 { return name }
    }
    return "mkdirat"
  }

  /// For init, which closes what it does not know.
  var descriptors: (base: Int32, folder: Int32) { (scratch.base, scratch.folder) }

  borrowing func removeScratch() {
    withUnsafePointer(to: scratch) { cinit_scratch_remove($0, Kept.patience) }
  }

  // MARK: Without a process namespace

  /// From here on, no signal of init's or its worker's reaches anybody else: so all that the worker has ever started can
  /// be killed by one kill(-1), from which no fork runs away. The worker's own domain lies within this one, so its signals
  /// do not reach init.
  mutating func keepSignalsWithin() throws(KernelError) {
    var attr = lx_landlock_ruleset_attr()
    attr.scoped = 0b10
    let ruleset = OwnedFD(
      adopting: Int32(try check("landlock_create_ruleset", lx_landlock_create_ruleset(&attr))))
    try check("prctl", lx_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    try check("landlock_restrict_self", lx_landlock_restrict_self(ruleset.raw))
    // A kill(-1) that is not kept within would be the end of all that its user runs. The host is of the same user.
    guard lx_pidfd_send_signal(InitDescriptor.hostPidfd, 0) == -Int(EPERM) else {
      throw KernelError(call: "landlock_restrict_self", errno: EOPNOTSUPP)
    }
    try startGuard()
  }

  /// A process that does nothing but wait for init's end, and then ends what is left. (Where there is a process
  /// namespace, the kernel does that.) Its pid is no child's that a worker could reach.
  mutating func startGuard() throws(KernelError) {
    guardian = 0
    let watched = OwnedFD(
      adopting: Int32(try check("pidfd_open", lx_pidfd_open(Int32(lx_getpid())))))
    let pid = Int32(try check("clone", lx_fork()))
    if pid == 0 { beGuard(watched.raw) }
    guardian = pid
  }

  private func beGuard(_ watched: Int32) -> Never {
    _ = lx_set_name("lauter-guard")
    Kept.close(allBut: [watched, scratch.base, scratch.folder], from: 0)
    var poll = pollfd(fd: watched, events: Int16(POLLIN), revents: 0)
    while lx_poll(&poll, 1, -1) < 0 {}
    _ = lx_kill(-1, SIGKILL)
    removeScratch()
    lx_exit(0)
  }

  /// Close all descriptors from `first` on but `kept`, of which -1 is none.
  static func close(allBut kept: [Int32], from first: Int32) {
    var next = first
    while true {
      var least = Int32.max
      for fd in kept where fd >= next && fd < least { least = fd }
      if least > next { _ = lx_close_range(UInt32(next), UInt32(least - 1), 0) }
      if least == .max { return }
      next = least + 1
    }
  }
}

/// Let the user of this process have `count` processes more than now.
///
/// How many there are the kernel tells nobody; but it refuses the next where a limit is reached, and that can be tried.
func limitProcesses(_ count: UInt64) throws(KernelError) {
  let resource = UInt32(LX_RLIMIT_NPROC)
  var soft: UInt64 = 0
  var hard: UInt64 = 0
  try check("getrlimit", lx_getrlimit(resource, &soft, &hard))
  let size = 4096
  let stack = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
  defer { stack.deallocate() }
  func fits(_ limit: UInt64) throws(KernelError) -> Bool {
    try check("setrlimit", lx_setrlimit(resource, limit, hard))
    let pid = lx_vfork({ _ in 0 }, stack + size, nil)
    if pid == -Int(EAGAIN) { return false }
    try check("clone", pid)
    var ended = lx_end()
    while lx_wait_any(&ended) == 0 {}
    return true
  }
  // The greatest that does not fit, and the least that does.
  var low: UInt64 = 0
  var high: UInt64 = 16
  while try !fits(min(high, hard)) {
    if high >= hard || high >= 1 << 22 { throw KernelError(call: "clone", errno: EAGAIN) }
    low = high
    high *= 2
  }
  high = min(high, hard)
  while high - low > 1 {
    let middle = low + (high - low) / 2
    if try fits(middle) { high = middle } else { low = middle }
  }
  // With init (which is among them) and its guard (which will be).
  let most = count < hard - high ? high + count : hard
  try check("setrlimit", lx_setrlimit(resource, most, most))
}
