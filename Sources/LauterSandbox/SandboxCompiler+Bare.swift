// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  package import LauterPolicy
#endif

/// Workers without namespaces, for machines that refuse them and policies that say `allow-missing namespaces`. There is no
/// second view of the files and no second network, so what mounts would do is Landlock's and what namespaces would do is
/// the filter's: it refuses what neither of them can confine.
extension SandboxCompiler {
  /// Since Linux 6.12 Landlock keeps signals within; before, a worker could kill its host, and init could not find all
  /// that its worker has started.
  static let leastLandlock = 6

  /// Whether a worker could do without namespaces here.
  package static var canDoWithoutNamespaces: Bool { lx_landlock_abi() >= leastLandlock }

  /// What an error about namespaces adds for those who did not know.
  package static let hint: StaticString =
    "; or do without, at the price that docs/policy.md tells, with --allow-missing namespaces"

  /// A small launch that finds out whether workers like this one can have all the namespaces that they want.
  package func trial(of policy: Policy) -> Probe {
    let all = NamespaceKind.allCases.reduce(0 as UInt64) { $0 | $1.rawValue }
    var steps: [Step] = [.privateMounts]
    guard policy.isConfined else {
      let user = offer.mapsUsers ? 0 : NamespaceKind.user.rawValue
      steps.append(.proc(path: "/proc", options: ""))
      let namespaces = NamespaceKind.process.rawValue | NamespaceKind.mount.rawValue | user
      return Probe(namespaces, steps, base: "", Finding("namespaces", "", .ok, ""))
    }
    steps += [
      become, .newRoot(size: 1 << 20),
      .proc(path: "/proc", options: View.procOptions(policy)), .enterRoot, .readOnlyRoot,
    ]
    return Probe(
      policy.network == .host ? all & ~NamespaceKind.network.rawValue : all, steps, base: "",
      Finding("namespaces", "", .ok, ""))
  }

  /// Workers differ in this by what they have of the network and of /proc.
  private static func kind(_ policy: Policy) -> UInt8 {
    let network: UInt8 = policy.network == .host ? 1 : 0
    return policy.preset == .unconfined ? 1 : policy.preset == .strict ? 2 << network : 8 << network
  }

  /// Whether the trial of one passed.
  package func hasNamespaces(for policy: Policy) -> Bool {
    passedTrials & SandboxCompiler.kind(policy) != 0
  }

  package func noteNamespaces(for policy: Policy) { passedTrials |= SandboxCompiler.kind(policy) }

  func bare(
    _ policy: Policy, _ launch: Launch, _ runtimeDirectory: String, _ wished: TreeLimits
  ) throws(SandboxError) -> Preparation {
    var tree = wished
    if tree.memory == .sum && !SandboxCompiler.seesProcesses { tree.memory = .process }
    guard offer.landlock >= SandboxCompiler.leastLandlock else {
      throw SandboxError(
        .unsupported, subject: "namespaces",
        message:
          "allow-missing namespaces: without them it takes a Landlock that keeps signals within "
          + "(Linux 6.12, ABI \(SandboxCompiler.leastLandlock)), and here is "
          + (offer.landlock == 0 ? "none" : "ABI \(offer.landlock)"))
    }
    let mine = offer
    defer { offer = mine }
    // The worker has its host's user id, whatever the host could map.
    offer.mapsUsers = false
    var missing = try unenforced(policy, launch, tree)
    missing.append("namespaces")
    var identity = Identity(offer, process: 0, ordinal: 0)
    identity.isForeign = false
    guard policy.isConfined else {
      return try unconfinedBare(policy, launch, runtimeDirectory, missing, tree)
    }
    let scratch = try newScratch(launch)
    let folder = scratchPath(scratch.base, scratch.number)
    var view = try View(bare: policy, try systemFiles(), folder)
    var choice = try choose(policy, launch, runtimeDirectory, identity, &view)
    choice.scratch = folder
    var execution = try choice.execution(in: view)
    if execution.cpuMilliseconds > 0 { try requireProcesses(policy, &execution, &missing) }

    missing.append("tmp")
    if policy.network == .own { missing.append("net") }
    if policy.nests {
      guard policy.allowMissing.contains("nest") else {
        throw SandboxError(
          .unsupported, subject: "nest any",
          message:
            "nest any: this machine has no namespaces for the worker, so none within it; give them up with "
            + "--nest none or --allow-missing nest")
      }
      missing.append("nest")
    }
    if !policy.runsOwnCode {
      // Landlock knows of execution, not of mapping.
      guard policy.allowMissing.contains("jit") else {
        throw SandboxError(
          .unsupported, subject: "jit none",
          message:
            "jit none: without namespaces nothing keeps a worker from mapping what it wrote as code; give it up with "
            + "--jit any, or be content with what the filter refuses with --allow-missing jit")
      }
      missing.append("jit")
    }
    var steps: [Step] = [
      .ordinary(ownKeyring: false),
      .scratch(base: scratch.base, number: scratch.number, hasHome: policy.hasOwnHome),
    ]
    steps += confinement(policy, launch, tree)
    if !policy.runsPrograms { execution.pass = try SandboxCompiler.newPass() }
    execution.violations = SandboxCompiler.answer(policy.violations)
    let denials = try Denials(bare: view, landlock: offer.landlock)
    steps.append(
      .landlock(
        filesystem: LandlockRights.known(offer.landlock).rawValue,
        network: policy.network == .host ? 0 : 0b11, scope: LandlockRights.scopes(offer.landlock),
        rules: try view.bareRules(policy, abi: offer.landlock, denials)))
    let wish = FilterWish(
      internet: policy.network == .host, runsPrograms: policy.runsPrograms,
      runsOwnCode: policy.runsOwnCode, isPure: policy.preset == .strict,
      countsMemory: tree.memory == .sum,
      violations: SandboxCompiler.telling(policy.violations), hasNamespaces: false)
    steps.append(.seccomp(program: filter(wish).bytes(pass: execution.pass)))
    steps.append(.execute(execution))
    return preparation(steps, missing, tree)
  }

  /// What init does for every worker without namespaces.
  private func confinement(
    _ policy: Policy, _ launch: Launch, _ tree: TreeLimits
  ) -> [Step] {
    var steps: [Step] = [.dropCapabilities]
    steps += terminal(launch, "/dev/ptmx")
    if let count = policy.processes, !offer.isMachineRoot { steps.append(.processes(count: count)) }
    steps.append(.guarded)
    steps += tree.steps(policy, behind: 0)
    for step in limits(policy) {
      // Init counts those.
      if case .limit(let resource, _, _) = step, resource == UInt32(LX_RLIMIT_NPROC) { continue }
      steps.append(step)
    }
    return steps
  }

  private func unconfinedBare(
    _ policy: Policy, _ launch: Launch, _ runtimeDirectory: String, _ missing: [String],
    _ tree: TreeLimits
  ) throws(SandboxError) -> Preparation {
    var view = View()
    view.isWhole = true
    let interpreter = launch.kind == .python ? try PythonInterpreter(for: launch) : nil
    var missing = missing
    var execution = try ProgramChoice(policy, launch, interpreter, runtime: runtimeDirectory)
      .execution(in: view)
    if execution.cpuMilliseconds > 0 { try requireProcesses(policy, &execution, &missing) }
    var steps = confinement(policy, launch, tree)
    // Init's own domain keeps signals within; this one keeps them from init.
    steps.append(.landlock(filesystem: 0, network: 0, scope: 0b10, rules: []))
    steps.append(.execute(execution))
    return preparation(steps, missing, tree)
  }

  private func preparation(
    _ steps: [Step], _ missing: [String], _ tree: TreeLimits
  ) -> Preparation {
    Preparation(
      plan: Plan(steps), namespaces: 0, uidMap: nil, gidMap: nil, outsideUser: nil,
      denySetgroups: false, trees: [], missing: missing, tree: tree)
  }

  /// Where the worker's folder comes to lie: where its host has its own temporary files.
  private func newScratch(
    _ launch: Launch
  ) throws(SandboxError) -> (base: String, number: UInt64) {
    let wanted = launch.callerTemporary ?? "/tmp"
    let base = try HostFile.named(wanted, by: "TMPDIR")
    guard base.isDirectory else {
      throw SandboxError(.invalid, subject: wanted, message: "TMPDIR \(wanted): not a folder")
    }
    return (base.path, try SandboxCompiler.newPass())
  }

  private static var seesProcesses: Bool { openProcesses() >= 0 }

  /// -errno if /proc cannot be listed.
  private static func openProcesses() -> Int {
    let fd = lx_open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    if fd >= 0 { _ = lx_close(Int32(fd)) }
    return fd
  }

  /// Init adds up what the worker's processes use, so it must see them: a host that is a worker itself may see no others.
  private func requireProcesses(
    _ policy: Policy, _ execution: inout Execution, _ missing: inout [String]
  ) throws(SandboxError) {
    let fd = SandboxCompiler.openProcesses()
    if fd >= 0 { return }
    guard policy.allowMissing.contains("limit") else {
      throw SandboxError(
        .unsupported, subject: "limit cpu",
        message:
          "limit cpu: without namespaces it takes a /proc that can be listed; give the limit up "
          + "with --limit cpu=none, or let the kernel count for each process alone with "
          + "--allow-missing limit",
        errno: Int32(-fd))
    }
    execution.cpuMilliseconds = 0
    missing.append("limit")
  }
}
