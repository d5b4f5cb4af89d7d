// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif

/// What happens between the host's call and init's first instruction, as errors name it.
enum LaunchStage {
  private static let clone: StaticString = "clone with new namespaces"
  private static let group: StaticString = "clone3 into a control group"
  private static let setgroups: StaticString = "write /proc/PID/setgroups"
  private static let uidMap: StaticString = "write /proc/PID/uid_map"
  private static let gidMap: StaticString = "write /proc/PID/gid_map"
  private static let capabilities: StaticString = "keeping init's capabilities"
  private static let exec: StaticString = "execveat lauter-init"
  /// Init's image, while the host is made.
  static let image: StaticString = "open lauter-init"
  /// The plan and the control page.
  static let memory: StaticString = "memfd_create"

  static func name(_ stage: Int32) -> StaticString {
    switch claunch_stage(rawValue: UInt32(stage)) {
    case CLAUNCH_STAGE_MEMORY: "mmap"
    case CLAUNCH_STAGE_MIDDLE: "clone"
    case CLAUNCH_STAGE_CLONE: clone
    case CLAUNCH_STAGE_SETGROUPS: setgroups
    case CLAUNCH_STAGE_UID_MAP: uidMap
    case CLAUNCH_STAGE_GID_MAP: gidMap
    case CLAUNCH_STAGE_DESCRIPTORS: "placing init's descriptors"
    case CLAUNCH_STAGE_CAPABILITIES: capabilities
    case CLAUNCH_STAGE_EXEC: exec
    case CLAUNCH_STAGE_NETWORK: "setns to the empty network"
    case CLAUNCH_STAGE_SIGNALS: "rt_sigprocmask"
    case CLAUNCH_STAGE_GROUP: group
    default: "claunch_spawn"
    }
  }

  /// Whether init may not be born in a control group, for good: everything else may be in order. (Where namespaces are refused, the
  /// plain clone says that.)
  static func refusesBirth(_ error: KernelError) -> Bool {
    error.names(group) && [ENOSYS, EPERM, EACCES, EINVAL, EBUSY, EOPNOTSUPP].contains(error.errno)
  }

  /// What was refused, where that is something that the machine may forbid.
  static func refusal(_ error: KernelError, namespaces: UInt64) -> Refusal? {
    if error.names(clone) || error.names(group) { return .clone(namespaces: namespaces) }
    if error.names(setgroups) || error.names(uidMap) || error.names(gidMap) { return .maps }
    if error.names(capabilities) { return .capabilities }
    if error.names(exec) { return .image }
    if error.names(image) || error.names(memory) { return .memory }
    return nil
  }
}

extension KernelError {
  fileprivate func names(_ stage: StaticString) -> Bool { call.isSame(as: stage) }
}

extension StaticString {
  func isSame(as other: StaticString) -> Bool {
    utf8CodeUnitCount == other.utf8CodeUnitCount
      && memcmp(utf8Start, other.utf8Start, utf8CodeUnitCount) == 0
  }
}

extension HostError {
  /// What kept a host from being made.
  init(makingHost error: KernelError) {
    self.init(error, doing: "making a host")
    guard let refusal = LaunchStage.refusal(error, namespaces: 0),
      let diagnosis = diagnose(refusal, error.errno, Circumstances.here())
    else { return }
    message += "; " + diagnosis.sentence
  }

  /// What kept init from being started, with its cause and remedy where they can be told.
  init(starting namespaces: UInt64, _ error: KernelError, _ policy: Policy) {
    self.init(error, doing: "starting a worker")
    guard let refusal = LaunchStage.refusal(error, namespaces: namespaces) else { return }
    let diagnosis = diagnose(refusal, error.errno, Circumstances.here())
    if case .clone = refusal, [EPERM, ENOSPC, EUSERS, EINVAL, ENOSYS].contains(error.errno) {
      code = Int32(LAUTER_ERROR_UNSUPPORTED)
    }
    if let diagnosis { message += "; " + diagnosis.sentence }
    switch refusal {
    case .clone, .maps, .capabilities: mentionBareness(policy)
    default: break
    }
  }

  /// Namespaces are in the way: some can do without.
  mutating func mentionBareness(_ policy: Policy) {
    guard [EPERM, EACCES, ENOSYS, EINVAL, ENODEV, ENOSPC, EUSERS].contains(errno),
      !policy.allowMissing.contains("namespaces"), SandboxCompiler.canDoWithoutNamespaces
    else { return }
    message += "\(SandboxCompiler.hint)"
  }
}
