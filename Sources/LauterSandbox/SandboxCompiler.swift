// SPDX-License-Identifier: Apache-2.0

#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  package import LauterPolicy
#endif

/// Policy × launch × what this machine offers → what init is told. One for each host; not for two
/// threads at a time.
package final class SandboxCompiler {
  package internal(set) var offer: KernelOffer
  /// Each is built once.
  private var filters: [(wish: FilterWish, program: SeccompProgram)] = []
  private var machine: SystemFiles?
  private var empty: OwnedFD?
  /// Of `allow-missing namespaces`.
  var passedTrials: UInt8 = 0

  package init() { offer = KernelOffer() }
  /// For tests: another machine.
  init(offer: KernelOffer) { self.offer = offer }

  private static let mount = NamespaceKind.mount.rawValue
  private static let cgroup = NamespaceKind.cgroup.rawValue
  private static let uts = NamespaceKind.uts.rawValue
  private static let ipc = NamespaceKind.ipc.rawValue
  private static let user = NamespaceKind.user.rawValue
  private static let process = NamespaceKind.process.rawValue
  private static let network = NamespaceKind.network.rawValue

  /// Look every path up and make the plan. Nothing is started; the mounts that root's workers need
  /// are made, detached.
  ///
  /// - Parameters:
  ///   - runtimeDirectory: the folder of the Python runtime, for a launch of that kind.
  ///   - ordinal: which of its host's workers it will be.
  ///   - refusesNamespaces: whether they were tried, and this machine has none for the policy, which lets them be missing.
  ///   - tree: what its limits hold by for all its processes together.
  package func prepare(
    _ policy: Policy, _ launch: Launch, runtimeDirectory: String, ordinal: UInt32,
    refusesNamespaces: Bool = false, tree: TreeLimits = TreeLimits()
  ) throws(SandboxError) -> Preparation {
    // What could not be seen once may be seen now.
    if offer.trouble != nil { offer = KernelOffer() }
    if let trouble = offer.trouble { throw trouble }
    let identity = Identity(offer, process: UInt32(lx_getpid()), ordinal: ordinal)
    if refusesNamespaces { return try bare(policy, launch, runtimeDirectory, tree) }
    if let obstacle = offer.obstacle, policy.isConfined || !offer.mapsUsers {
      if policy.allowMissing.contains("namespaces") {
        return try bare(policy, launch, runtimeDirectory, tree)
      }
      var message = obstacle.sentence
      if offer.landlock >= SandboxCompiler.leastLandlock { message += "\(SandboxCompiler.hint)" }
      throw SandboxError(.unsupported, subject: "user namespaces", message: message)
    }
    if policy.nests { try checkNesting(policy, tree) }
    var missing = try unenforced(policy, launch, tree)
    if !policy.isConfined {
      return try unconfined(policy, launch, runtimeDirectory, missing, tree)
    }

    var view = try View(
      system: policy, identity, try systemFiles(), terminal: launch.terminal != nil)
    let choice = try choose(policy, launch, runtimeDirectory, identity, &view)
    let denials = try Denials(
      view, landlock: offer.landlock, isTolerant: policy.allowMissing.contains("deny"))
    if !denials.covered.isEmpty { missing.append("deny") }

    var execution = try choice.execution(in: view)
    if !policy.runsPrograms { execution.pass = try SandboxCompiler.newPass() }
    execution.violations = SandboxCompiler.answer(policy.violations)

    var mapped = MappedTrees(for: identity)
    var steps: [Step] = [.privateMounts]
    try open(view, &mapped, &steps)
    steps.append(.hostname(SystemView.hostname))
    if offer.setsQuotas {
      steps += SandboxCompiler.quotas(policy)
    } else {
      missing.append("quotas")
    }
    if policy.network == .own { steps.append(.loopback) }
    steps.append(
      .identity(
        uid: identity.insideUser, gid: identity.insideGroup, dropGroups: identity.isForeign))
    // A keyring is charged to its user, who may have 200 keys: one that is ordinary, and needs them himself, would have
    // none left for his next login. Keys are closed to his workers by the filter alone.
    steps.append(.ordinary(ownKeyring: identity.isForeign))
    steps.append(.newRoot(size: 16 << 20))
    steps += view.steps
    if !policy.runsOwnCode { steps += view.stepsAgainstOwnCode }
    steps += [.enterRoot, .readOnlyRoot, .dropPrivilege(lastCapability: offer.lastCapability)]
    // Of its own devpts: no other terminal can be named there.
    steps += terminal(launch, "/dev/pts/ptmx")
    steps += tree.steps(policy, behind: mapped.count, steps)
    steps += limits(policy)
    // Who has a right to files by Landlock may mount nothing.
    let rights = policy.nests ? LandlockRights() : LandlockRights.known(offer.landlock)
    let scopes = LandlockRights.scopes(offer.landlock)
    if offer.landlock == 0 {
      // The view stands without it; it is the second wall.
      missing.append("landlock")
    } else if !policy.nests || scopes != 0 {
      steps.append(
        .landlock(
          filesystem: rights.rawValue, network: 0, scope: scopes,
          rules: policy.nests ? [] : try view.landlockRules(abi: offer.landlock, denials)))
    }
    if policy.network == .host && scopes == 0 {
      // Every abstract name of the machine is in its network, and nothing else keeps them apart.
      missing.append("abstract-sockets")
    }
    let wish = FilterWish(
      internet: policy.network != .none, runsPrograms: policy.runsPrograms,
      runsOwnCode: policy.runsOwnCode, nests: policy.nests,
      // A file that the host renames over a denied name is Landlock's alone, which before Linux 6.2 does not look at
      // truncate(2): there no file could be read or written, and this one emptied. (Those that are open for writing
      // can be shortened by their descriptors.)
      truncatesByPath: offer.landlock >= 3 || !denials.isInWritable,
      isPure: policy.preset == .strict,
      countsMemory: tree.memory == .sum,
      violations: SandboxCompiler.telling(policy.violations))
    steps.append(.seccomp(program: filter(wish).bytes(pass: execution.pass)))
    steps.append(.execute(execution))

    var namespaces =
      SandboxCompiler.user | SandboxCompiler.process | SandboxCompiler.mount
      | SandboxCompiler.ipc | SandboxCompiler.uts | SandboxCompiler.cgroup
    let network = policy.network == .none ? emptyNetwork() : nil
    if policy.network != .host && network == nil { namespaces |= SandboxCompiler.network }
    return Preparation(
      plan: Plan(steps), namespaces: namespaces, network: network ?? -1,
      uidMap: "\(identity.insideUser) \(identity.outsideUser) 1\n",
      gidMap: "\(identity.insideGroup) \(identity.outsideGroup) 1\n",
      outsideUser: identity.isForeign ? (identity.outsideUser, identity.outsideGroup) : nil,
      denySetgroups: !identity.isForeign, trees: mapped.take(), missing: missing, tree: tree)
  }

  /// Bring the launch's and the policy's words into the view.
  @inline(never)
  func choose(
    _ policy: Policy, _ launch: Launch, _ runtimeDirectory: String, _ identity: Identity,
    _ view: inout View
  ) throws(SandboxError) -> ProgramChoice {
    var interpreter: PythonInterpreter?
    var runtime = runtimeDirectory
    if launch.kind == .python {
      let found = try PythonInterpreter(for: launch)
      let folder = try HostFile.named(runtimeDirectory, by: "runtime")
      for file in found.needs { view.add(runtime: file, identity) }
      view.add(runtime: folder, identity)
      try view.add(rulesOf: policy, identity)
      for link in found.links { view.addLink(link.path, to: link.target) }
      interpreter = found
      runtime = folder.path
    } else {
      try view.add(rulesOf: policy, identity)
    }
    view.settle()
    return ProgramChoice(policy, launch, interpreter, runtime: runtime)
  }

  /// Something is not what it was, and no folder tells: one file was mounted on another.
  package func forgetFiles() { machine = nil }

  func systemFiles() throws(SandboxError) -> SystemFiles {
    if let machine, machine.isCurrent { return machine }
    let found = try SystemFiles()
    machine = found
    return found
  }

  /// Put the view's trees into slots, in their order.
  private func open(
    _ view: View, _ mapped: inout MappedTrees, _ steps: inout [Step]
  ) throws(SandboxError) {
    var slot: UInt16 = 0
    for tree in view.trees {
      let file = tree.file
      if tree.mapped, let number = try mapped.add(file, tree.access) {
        steps.append(
          .adoptTree(
            slot: slot, descriptor: UInt16(Int(InitDescriptor.firstTree) + number),
            path: file.path))
      } else {
        steps.append(
          .openTree(slot: slot, path: file.path, device: file.device, inode: file.inode))
      }
      slot += 1
    }
  }

  /// A process tree of its own, and nothing more.
  private func unconfined(
    _ policy: Policy, _ launch: Launch, _ runtimeDirectory: String, _ missing: [String],
    _ tree: TreeLimits
  ) throws(SandboxError) -> Preparation {
    var view = View()
    view.isWhole = true
    let interpreter = launch.kind == .python ? try PythonInterpreter(for: launch) : nil
    let choice = ProgramChoice(policy, launch, interpreter, runtime: runtimeDirectory)
    let execution = try choice.execution(in: view)
    var steps: [Step] = [.privateMounts, .proc(path: "/proc", options: "")]
    // An ordinary user needs a user namespace to make the others, and gives up what power that
    // lends.
    if !offer.mapsUsers { steps.append(.dropPrivilege(lastCapability: offer.lastCapability)) }
    steps += terminal(launch, "/dev/ptmx")
    steps += tree.steps(policy, behind: 0)
    steps += limits(policy)
    steps.append(.execute(execution))
    var namespaces = SandboxCompiler.process | SandboxCompiler.mount
    if !offer.mapsUsers { namespaces |= SandboxCompiler.user }
    return Preparation(
      plan: Plan(steps), namespaces: namespaces,
      uidMap: offer.mapsUsers ? nil : "\(offer.uid) \(offer.uid) 1\n",
      gidMap: offer.mapsUsers ? nil : "\(offer.gid) \(offer.gid) 1\n",
      outsideUser: nil, denySetgroups: !offer.mapsUsers, trees: [], missing: missing, tree: tree)
  }

  // MARK: Parts

  /// What is else charged to the host's user, however deep the worker's namespaces are: it could use
  /// up what the user's other programs need.
  private static func quotas(_ policy: Policy) -> [Step] {
    // The filter refuses them; this is the kernel's own word.
    let namespaces = Step.quota(name: "max_user_namespaces", most: policy.nests ? 64 : 0)
    // There the filter knows no inotify.
    if policy.preset == .strict { return [namespaces] }
    return [
      .quota(name: "max_inotify_instances", most: 32),
      .quota(name: "max_inotify_watches", most: 16_384), namespaces,
    ]
  }

  /// An empty network namespace for all workers of the host that are to have no network: a fifth of a
  /// launch is saved. Nil if each must have its own: where Landlock does not keep their abstract
  /// sockets apart, and where the host may not join what it made (an ordinary user).
  private func emptyNetwork() -> Int32? {
    guard offer.mapsUsers, LandlockRights.scopes(offer.landlock) != 0 else { return nil }
    if empty == nil {
      let made = claunch_network_namespace()
      // The launch makes the worker one of its own then, or says what is in the way.
      guard made >= 0 else { return nil }
      empty = OwnedFD(adopting: made)
    }
    switch empty {
    case .some(let namespace): return namespace.raw
    case .none: return nil
    }
  }

  /// What namespaces and mounts of the worker's own would undo is not to be had beside them.
  private func checkNesting(_ policy: Policy, _ tree: TreeLimits) throws(SandboxError) {
    let obstacle: StaticString
    if policy.rules.contains(where: { $0.access == .deny }) {
      obstacle =
        "what is denied is guarded by Landlock, which lets nobody mount; show what lies beside it instead"
    } else if !policy.runsOwnCode {
      obstacle = "with jit none, what can be written could be mounted again to be executed"
    } else if !policy.runsPrograms {
      obstacle = "with run none there is nothing to nest"
    } else if tree.memory == .sum {
      obstacle = """
        no control group holds the limit on memory here, and init would not see what lies in mounts of the worker's own; \
        delegate one (lauter doctor says how), or lift the limit with --limit memory=none
        """
    } else {
      return
    }
    throw SandboxError(
      .unsupported, subject: "nest any", message: "nest any: \(obstacle)")
  }

  /// What this machine cannot enforce of the policy and the policy lets pass.
  func unenforced(
    _ policy: Policy, _ launch: Launch, _ tree: TreeLimits
  ) throws(SandboxError) -> [String] {
    var missing: [String] = []
    if policy.processes != nil && tree.processVersion == 0 && countsNoProcesses(of: policy) {
      guard policy.allowMissing.contains("limit") else {
        throw SandboxError(
          .unsupported, subject: "limit processes",
          message:
            "limit processes: the kernel does not count the processes of root; run the host as "
            + "another user, or give up the limit with --limit processes=none")
      }
      missing.append("limit")
    }
    if policy.milliCPUs != nil && tree.shareVersion == 0 {
      guard policy.allowMissing.contains("limit") else {
        throw SandboxError(
          .unsupported, subject: "limit cpus",
          message:
            "limit cpus: only a control group with the cpu controller holds it, and the host may make none here; "
            + "delegate one (lauter doctor says how), or give up the limit with --limit cpus=none")
      }
      if missing.isEmpty { missing.append("limit") }
    }
    if policy.outputBytes != nil && (launch.stdout == .inherit || launch.stderr == .inherit) {
      guard policy.allowMissing.contains("limit") else {
        throw SandboxError(
          .unsupported, subject: "limit output",
          message:
            "limit output: what goes to an inherited stream does not pass the host, which counts "
            + "it; capture stdout and stderr, or give up the limit with --limit output=none")
      }
      if missing.isEmpty { missing.append("limit") }
    }
    if offer.hasGroups && !offer.mapsUsers { missing.append("groups") }
    return missing
  }

  /// The kernel counts processes by user id, and never root's.
  package func countsNoProcesses(of policy: Policy) -> Bool {
    offer.isMachineRoot && (!policy.isConfined || !offer.mapsUsers)
  }

  func limits(_ policy: Policy) -> [Step] {
    // A core of 0 bytes is still handed to a program that the machine pipes cores to; of 1 byte it
    // is not.
    var steps: [Step] = [.limit(resource: UInt32(LX_RLIMIT_CORE), soft: 1, hard: 1)]
    if policy.isConfined {
      // A worker that shares its host's user id shares its quota of descriptors in flight, which
      // each side compares with its own limit: with less than the host has it cannot use up the
      // host's.
      let most =
        offer.mapsUsers ? offer.openFilesHard : max(64, offer.openFilesSoft / 4 * 3)
      let hard = min(policy.openFiles ?? .max, most)
      steps.append(
        .limit(resource: UInt32(LX_RLIMIT_NOFILE), soft: min(1024, hard), hard: hard))
      // Charged to whoever made the user namespace as well, so a worker could leave its host without timers.
      steps.append(.limit(resource: UInt32(LX_RLIMIT_SIGPENDING), soft: 1024, hard: 1024))
      steps.append(.limit(resource: UInt32(LX_RLIMIT_MSGQUEUE), soft: 65_536, hard: 65_536))
    } else if let count = policy.openFiles {
      let hard = min(count, offer.openFilesHard)
      steps.append(
        .limit(
          resource: UInt32(LX_RLIMIT_NOFILE), soft: min(hard, offer.openFilesSoft), hard: hard))
    }
    if let bytes = policy.memoryBytes {
      // Data, not address space: the JVM, node and Julia reserve far more of that than they use.
      steps.append(.limit(resource: UInt32(LX_RLIMIT_DATA), soft: bytes, hard: bytes))
    }
    if let bytes = policy.fileBytes {
      steps.append(.limit(resource: UInt32(LX_RLIMIT_FSIZE), soft: bytes, hard: bytes))
    }
    if let milliseconds = policy.cpuMilliseconds {
      // Init adds up what all processes use. Behind it the kernel counts for each process, in whole seconds: SIGXCPU at
      // the first, death at the second. A second later than the limit, since the kernel counts by the ticks of its clock
      // and may be early.
      let seconds = (milliseconds + 999) / 1000 + 1
      steps.append(.limit(resource: UInt32(LX_RLIMIT_CPU), soft: seconds, hard: seconds + 1))
    }
    if let count = policy.processes {
      // Counted in the worker's own user namespace, with its init.
      steps.append(.limit(resource: UInt32(LX_RLIMIT_NPROC), soft: count + 1, hard: count + 1))
    }
    return steps
  }

  func terminal(_ launch: Launch, _ path: String) -> [Step] {
    guard let terminal = launch.terminal else { return [] }
    return [.terminal(path: path, rows: terminal.rows, columns: terminal.columns)]
  }

  func filter(_ wish: FilterWish) -> SeccompProgram {
    for filter in filters where filter.wish == wish { return filter.program }
    let program = SeccompFilter.compile(wish)
    filters.append((wish, program))
    return program
  }

  static func telling(_ violations: Policy.Violations) -> FilterWish.Telling {
    switch violations {
    case .silent: .silent
    case .tell, .kill: .attacks
    case .observe: .everything
    }
  }

  static func answer(_ violations: Policy.Violations) -> ViolationAnswer {
    switch violations {
    case .silent: .none
    case .tell: .fail
    case .kill: .kill
    case .observe: .go
    }
  }

  static func newPass() throws(SandboxError) -> UInt64 {
    var pass: UInt64 = 0
    let count = withUnsafeMutableBytes(of: &pass) { lx_getrandom($0.baseAddress, $0.count) }
    guard count == 8 else {
      let errno = count < 0 ? Int32(-count) : EIO
      throw SandboxError(
        .system, subject: "run none",
        message: "run none: no random number: getrandom: \(errnoText(errno))", errno: errno)
    }
    return pass | 1
  }
}
