// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// The view of a worker without namespaces: the machine's own tree, of which Landlock grants what is listed here.
extension View {
  /// - Parameter scratch: the folder that the worker is to have.
  init(bare policy: Policy, _ machine: SystemFiles, _ scratch: String) throws(SandboxError) {
    self.init(entries: machine.entries)
    put(scratch + "/tmp", .tmpfs(size: 0, mode: 0o700))
    if policy.hasOwnHome { put(scratch + "/home", .tmpfs(size: 0, mode: 0o700)) }
    guard policy.network == .host else { return }
    for name in SystemView.etcNetwork + ["nsswitch.conf"] {
      if let file = try HostFile.find("/etc/" + name), file.isRegular {
        put(file.path, .tree(file, [], mapped: false))
      }
    }
  }

  /// Of the machine's /proc, what tells of no process and no user. (Its own processes' the worker finds in /proc/self.)
  private static let processorsAndMemory: StaticString = """
    cpuinfo filesystems loadavg meminfo stat uptime version sys/fs/pipe-max-size sys/kernel/cap_last_cap \
    sys/kernel/ngroups_max sys/kernel/osrelease sys/kernel/ostype sys/kernel/pid_max sys/kernel/threads-max \
    sys/user/max_user_namespaces sys/vm/max_map_count sys/vm/overcommit_memory
    """

  func bareRules(
    _ policy: Policy, abi: Int, _ denials: Denials
  ) throws(SandboxError) -> [LandlockRule] {
    let known = LandlockRights.known(abi)
    var rules: [LandlockRule] = []
    func grant(
      _ path: String, _ rights: LandlockRights, isDirectory: Bool, _ file: HostFile? = nil,
      ifThere: Bool = false
    ) {
      var rights = rights.intersection(known)
      if !isDirectory { rights.formIntersection(.ofFiles) }
      rules.append(
        LandlockRule(
          path: path, access: rights.rawValue, ifThere: ifThere, device: file?.device ?? 0,
          inode: file?.inode ?? 0))
    }
    for entry in entries {
      switch entry.kind {
      case .tree(let file, let access, _):
        let rights: LandlockRights =
          access.contains(.devices) ? .devices : access.contains(.write) ? .writeShared : .read
        if !denials.hasAny(below: entry.path) {
          grant(file.path, rights, isDirectory: file.isDirectory, file)
          continue
        }
        // Not even names of the folders between them: such a right would hold for the denied ones as well.
        for (path, isDirectory) in try denials.beside(in: entry.path, of: self) {
          grant(path, rights, isDirectory: isDirectory, ifThere: true)
        }
      case .file: grant(entry.path, .readFile, isDirectory: false)
      case .tmpfs: grant(entry.path, .write, isDirectory: true)
      default: break
      }
    }
    grant("/proc/self", [.readFile, .writeFile, .readFolder, .truncate], isDirectory: true)
    if policy.preset != .strict {
      words(of: View.processorsAndMemory) {
        grant("/proc/" + $0, .readFile, isDirectory: false, ifThere: true)
      }
    }
    return rules
  }
}

extension Denials {
  /// Where there are no mounts, what is readable below a writable folder must be kept from its right as well.
  init(bare view: View, landlock: Int) throws(SandboxError) {
    try self.init(view, landlock: landlock, isTolerant: false)
    for entry in view.entries {
      guard case .tree(_, let access, _) = entry.kind, !access.contains(.write) else { continue }
      if view.isWritable(above: entry.path) { keep(entry.path) }
    }
  }
}
