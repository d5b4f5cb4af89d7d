// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// The worker's process between the fork and its program.
///
/// As after vfork(2), it lives in init's memory on a stack of its own while init sleeps: half as long as a copy of
/// even so small a process takes, and a failure is simply left behind in a variable.
struct Worker {
  /// What kept the program from being executed.
  private(set) var failure: StepFailure?
  private let steps: ArraySlice<Step>
  private let execution: Execution
  private let arguments: StringVector
  private let environment: StringVector
  /// The filter for where init cannot be asked: what is left to it there is refused here.
  private let fallback: [UInt8]
  /// By which init is asked, in its own table of descriptors; -1 without.
  private(set) var listener: Int32 = -1

  /// Take the steps of `plan` from `index` on. All memory is got here: a limit may leave none later.
  init(_ plan: Plan, from index: Int, _ execution: Execution) {
    steps = plan.steps[index...]
    self.execution = execution
    arguments = StringVector(execution.arguments)
    environment = StringVector(execution.environment)
    fallback = execution.violations == .none ? [] : withoutListener(steps, execution.violations)
  }

  /// Start it, and wait until its program runs or never will. Returns its pid.
  mutating func fork() throws(KernelError) -> Int32 {
    let size = 65536
    let stack = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
    defer { stack.deallocate() }
    let pid = withUnsafeMutablePointer(to: &self) {
      lx_vfork(
        { $0!.assumingMemoryBound(to: Worker.self).pointee.run() }, stack + size, $0)
    }
    return Int32(try check("clone", pid))
  }

  /// Comes back only if the program does not run. To return, not to exit here, keeps `failure`: what a function that
  /// never returns leaves in memory is nobody's to see.
  private mutating func run() -> Int32 {
    var number = steps.endIndex
    do throws(KernelError) {
      try prepare()
      var forbidsPrivileges = false
      var filter: Int?
      for index in steps.indices {
        number = index + 1
        switch steps[index] {
        case .watchMemory, .countCPU, .sumMemory: break
        case .joinGroup(let descriptor, _):
          // 0 is who writes.
          try check("write", lx_write(Int32(descriptor), "0", 1))
        case .limit(let resource, let soft, let hard):
          try check("setrlimit", lx_setrlimit(resource, soft, hard))
        case .landlock(let filesystem, let network, let scope, let rules):
          if !forbidsPrivileges { try forbidNewPrivileges() }
          forbidsPrivileges = true
          try restrict(filesystem, network, scope, rules)
        case .seccomp:
          if !forbidsPrivileges { try forbidNewPrivileges() }
          forbidsPrivileges = true
          filter = index
        case .execute:
          // Told apart from a missing program by a number that no step has.
          number = index + 2
          try check("chdir", lx_chdir(execution.directory))
          // Last, so that it need not allow what the steps before it do.
          if let filter {
            number = filter + 1
            try load(steps[filter])
          }
          number = index + 1
          try takeDescriptors()
          try execute()
        default: throw KernelError(call: "plan", errno: EINVAL)
        }
      }
    } catch {
      failure = StepFailure(step: UInt32(number), errno: error.errno, call: error.call)
    }
    return 127
  }

  /// Signals, session: what a program expects to be born with.
  private func prepare() throws(KernelError) {
    if execution.hasTerminal { try becomeJob() } else { try check("setsid", lx_setsid()) }
    if !limitsCores { try check("setrlimit", lx_setrlimit(UInt32(LX_RLIMIT_CORE), 0, 0)) }
    _ = lx_umask(0o022)
    try check("sigprocmask", lx_sigprocmask(SIG_SETMASK, 0))
  }

  /// The table of descriptors was init's until now, so that the filter's listener came to be in it: to send it over a
  /// socket could fail by what other processes of this user have in flight.
  private func takeDescriptors() throws(KernelError) {
    try check("close_range", lx_own_descriptors())
    var first: Int32 = 3
    if execution.hasSession {
      try check("dup3", lx_dup3(InitDescriptor.session, 3, 0))
      try check("dup3", lx_dup3(InitDescriptor.page, 4, 0))
      try check("dup3", lx_dup3(InitDescriptor.arena, 5, 0))
      first = 6
    }
    try check("close_range", lx_close_range(UInt32(first), UInt32.max, 0))
  }

  /// A process group of init's session, in the foreground of its terminal unless the launch says otherwise. SIGTTOU is
  /// blocked still.
  private func becomeJob() throws(KernelError) {
    try check("setpgid", lx_setpgid(0, 0))
    let group = Int32(execution.inBackground ? lx_getppid() : lx_getpid())
    try check("ioctl TIOCSPGRP", lx_terminal_set_group(0, group))
  }

  /// Whether the plan says itself how large a core may be: what is 0 once cannot be raised.
  private var limitsCores: Bool {
    for step in steps {
      if case .limit(let resource, _, _) = step, resource == UInt32(LX_RLIMIT_CORE) { return true }
    }
    return false
  }

  private func forbidNewPrivileges() throws(KernelError) {
    try check("prctl", lx_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
  }

  private func restrict(
    _ filesystem: UInt64, _ network: UInt64, _ scope: UInt64, _ rules: [LandlockRule]
  ) throws(KernelError) {
    var attr = lx_landlock_ruleset_attr()
    attr.handled_access_fs = filesystem
    attr.handled_access_net = network
    attr.scoped = scope
    let ruleset = OwnedFD(
      adopting: Int32(try check("landlock_create_ruleset", lx_landlock_create_ruleset(&attr))))
    for rule in rules {
      let opened = open(rule)
      if rule.ifThere && Worker.isPassedOver(opened) { continue }
      let beneath = OwnedFD(adopting: Int32(try check("open", opened)))
      if rule.inode != 0 {
        var status = lx_status()
        try check("fstat", lx_fstat(beneath.raw, &status))
        guard status.device == rule.device, status.inode == rule.inode else {
          throw KernelError(call: "open", errno: ESTALE)
        }
      }
      try check("landlock_add_rule", lx_landlock_add_path(ruleset.raw, beneath.raw, rule.access))
    }
    try check("landlock_restrict_self", lx_landlock_restrict_self(ruleset.raw))
  }

  private func open(_ rule: LandlockRule) -> Int {
    if !rule.ifThere { return lx_open(rule.path, O_PATH | O_CLOEXEC, 0) }
    return lx_open_without_links(rule.path)
  }

  /// Without the rule the worker has less: what has gone since the plan was made, or become a link.
  private static func isPassedOver(_ result: Int) -> Bool {
    switch Int32(truncatingIfNeeded: -result) {
    case ENOENT, ENOTDIR, EACCES, ELOOP: true
    default: false
    }
  }

  private mutating func load(_ step: Step) throws(KernelError) {
    guard case .seccomp(let program) = step else { return }
    func instructions(_ bytes: UnsafeRawBufferPointer) -> UInt16 {
      UInt16(truncatingIfNeeded: bytes.count / 8)
    }
    var result = 0
    if execution.violations == .none {
      result = program.withUnsafeBytes { lx_seccomp_load($0.baseAddress, instructions($0)) }
    } else {
      // What a later kernel says may be more than there is room for.
      result =
        lx_notifications_fit() == 1
        ? program.withUnsafeBytes { lx_seccomp_listen($0.baseAddress, instructions($0)) }
        : -Int(EINVAL)
      if result >= 0 { listener = Int32(result) }
      // A listener of somebody else's around us, or a kernel that has none.
      if (result == -Int(EBUSY) || result == -Int(EINVAL)) && execution.violations != .go {
        result = fallback.withUnsafeBytes { lx_seccomp_load($0.baseAddress, instructions($0)) }
      }
    }
    try check("seccomp", result)
  }

  /// As execvp(3): go on where there is nothing, remember what may not be executed. A file of no known format is
  /// told as such, never handed to a shell.
  private func execute() throws(KernelError) {
    var remembered = ENOENT
    for candidate in execution.candidates {
      let error = Int32(-start(candidate))
      switch error {
      case ENOENT, ENOTDIR: continue
      case EACCES: remembered = error
      default: throw KernelError(call: "execve", errno: error)
      }
    }
    throw KernelError(call: "execve", errno: remembered)
  }

  /// Where the filter lets nobody execute without a password, with it.
  private func start(_ path: String) -> Int {
    if execution.pass == 0 { return lx_execve(path, arguments.pointer, environment.pointer) }
    return lx_execveat_with_pass(path, arguments.pointer, environment.pointer, execution.pass)
  }
}

/// The program among `steps` with an answer of its own in the place of each that init would give: EPERM, or the end of the
/// process.
private func withoutListener(_ steps: ArraySlice<Step>, _ answer: ViolationAnswer) -> [UInt8] {
  for step in steps {
    guard case .seccomp(var program) = step else { continue }
    // struct sock_filter: u16 code, two jumps, u32 constant, in the machine's byte order. BPF_RET, SECCOMP_RET_USER_NOTIF.
    for at in stride(from: 0, to: program.count - 7, by: 8) {
      program.withUnsafeMutableBytes { bytes in
        let code = bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)
        let action = bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
        guard code == 0x06, action & 0xFFFF_0000 == 0x7FC0_0000 else { return }
        // SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ERRNO.
        let instead = answer == .kill ? 0x8000_0000 : 0x0005_0000 | UInt32(EPERM)
        bytes.storeBytes(of: instead, toByteOffset: at + 4, as: UInt32.self)
      }
    }
    return program
  }
  return []
}

/// A NULL-terminated vector of C strings, which lives as long as the process.
private struct StringVector {
  let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

  init(_ strings: [String]) {
    pointer = .allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() {
      let bytes = string.utf8
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count + 1)
      var at = 0
      for byte in bytes {
        copy[at] = CChar(bitPattern: byte)
        at += 1
      }
      copy[at] = 0
      pointer[index] = copy
    }
    pointer[strings.count] = nil
  }
}
