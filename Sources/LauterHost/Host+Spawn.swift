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
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  package import LauterPolicy
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

extension Host {
  /// The plan as text: the namespaces that it begins in, then one numbered step a line.
  package func explain(
    _ policy: Policy, _ launch: Launch, runtimeDirectory: String
  ) throws(HostError) -> String {
    try checkFork()
    let preparation = try prepare(
      policy, launch, runtimeDirectory, ordinal: 0, treeLimits(policy))
    var text =
      preparation.namespaces == 0
      ? "in no namespace of its own\n"
      : "in namespaces of its own: \(namespaceNames(preparation.namespaces))\n"
    if preparation.network >= 0 {
      text += "in an empty network, with other workers that have none\n"
    }
    for (index, step) in preparation.plan.steps.enumerated() {
      text += "\(index + 1)  \(describe(step))\n"
    }
    return text
  }

  private func prepare(
    _ policy: Policy, _ launch: Launch, _ runtimeDirectory: String, ordinal: UInt64,
    _ tree: TreeLimits
  ) throws(HostError) -> Preparation {
    let refuses = refusesNamespaces(to: policy)
    let looksAnew = locked {
      defer { lacksView = false }
      return lacksView
    }
    lx_mutex_lock(compilerLock)
    defer { lx_mutex_unlock(compilerLock) }
    if looksAnew { compiler.forgetFiles() }
    do throws(SandboxError) {
      return try compiler.prepare(
        policy, launch, runtimeDirectory: runtimeDirectory,
        ordinal: UInt32(truncatingIfNeeded: ordinal), refusesNamespaces: refuses, tree: tree)
    } catch {
      throw HostError(error)
    }
  }

  /// Whether this machine has no namespaces for workers like this one. Asked for policies alone that go on without, and by
  /// trying: there are too many ways to refuse them. What was refused once is tried again, and may be there then; what was
  /// there once will be.
  private func refusesNamespaces(to policy: Policy) -> Bool {
    guard policy.allowMissing.contains("namespaces") else { return false }
    lx_mutex_lock(compilerLock)
    let isKnown = compiler.offer.obstacle != nil || compiler.hasNamespaces(for: policy)
    let trial = isKnown ? nil : compiler.preparation(for: compiler.trial(of: policy))
    lx_mutex_unlock(compilerLock)
    guard let trial else { return false }
    switch run(trial) {
    case .passed:
      lx_mutex_lock(compilerLock)
      compiler.noteNamespaces(for: policy)
      lx_mutex_unlock(compilerLock)
      return false
    case .notStarted(let error): return Host.isRefusal(error.errno)
    case .failed(_, let errno): return Host.isRefusal(errno)
    // What else may fail is no word on namespaces: the launch will say it.
    case .silent: return false
    }
  }

  private static func isRefusal(_ errno: Int32) -> Bool {
    [EPERM, EACCES, ENOSYS, EINVAL, ENODEV, ENOSPC, EUSERS].contains(errno)
  }

  package func spawn(
    _ policy: Policy, _ launch: Launch, runtimeDirectory: String, cookie: UInt64
  ) throws(HostError) -> UInt64 {
    try checkFork()
    let id = lockedId()
    let groups: WorkerGroups
    do throws(KernelError) { groups = try takeGroups(policy) } catch {
      throw HostError(error, doing: "making a control group for a worker")
    }
    do throws(HostError) {
      let preparation = try prepare(policy, launch, runtimeDirectory, ordinal: id, groups.tree)
      do throws(KernelError) {
        return try spawn(id, preparation, groups, policy, launch, cookie)
      } catch {
        guard groups.tree.beginsInGroup, LaunchStage.refusesBirth(error) else {
          throw HostError(starting: preparation.namespaces, error, policy)
        }
        // A filter around the host that knows no clone3, say. Then the worker goes in itself.
        lx_mutex_lock(compilerLock)
        birthRefusal = error.errno
        lx_mutex_unlock(compilerLock)
      }
      locked { giveBack(groups.groups, fit: false) }
    } catch {
      // Somebody may have gone in before it failed, and be on his way out.
      locked { giveBack(groups.groups, fit: false) }
      throw error
    }
    return try spawn(policy, launch, runtimeDirectory: runtimeDirectory, cookie: cookie)
  }

  private func lockedId() -> UInt64 {
    locked {
      let id = nextWorker
      nextWorker += 1
      return id
    }
  }

  private func spawn(
    _ id: UInt64, _ preparation: Preparation, _ groups: WorkerGroups, _ policy: Policy,
    _ launch: Launch, _ cookie: UInt64
  ) throws(KernelError) -> UInt64 {
    let now = lx_now()
    // First: where the host has closed one of these, something of ours may have its number in a moment.
    let wanted = [launch.stdin == .inherit, launch.stdout == .inherit, launch.stderr == .inherit]
    let inherits = (0..<3).map { wanted[$0] && lx_fd_is_open(Int32($0)) != 0 }
    let hasSession = launch.kind != .program
    var theirs = ChildEnds()
    var pageFD: OwnedFD?
    let page = hasSession ? try ControlPage.make(descriptor: &pageFD) : nil
    theirs.page = consume pageFD
    var arenaFD: OwnedFD?
    let arena = hasSession ? makeArena(policy, descriptor: &arenaFD) : nil
    theirs.arena = consume arenaFD
    let worker = Worker(
      id: id, cookie: cookie, policy: policy, launch: launch, plan: preparation.plan,
      missing: preparation.missing, hasSession: hasSession, page: page, arena: arena, now: now)

    var control = try pair("socketpair", lx_socketpair_seqpacket)
    worker.control = control.first.take()
    theirs.control = control.second.take()
    if hasSession {
      var session = try pair("socketpair", lx_socketpair_stream)
      worker.session = session.first.take()
      theirs.session = session.second.take()
      lx_refuse_descriptors(worker.session.raw)
      var hello = Greeting()
      hello.name = "lauter"
      if let arena {
        hello.arenaHalf = UInt32(arena.half >> 20)
        var returns: PlaceReturns?
        if launch.readsInPlace {
          returns = try locked { () throws(KernelError) in try takePlaceReturns() }
          hello.abilities = .readsInPlace
        }
        worker.inbox.arena = ArenaReader(arena, start: arena.half, returns: returns, owner: id)
      }
      let frame = hello.frame()
      try frame.withUnsafeBufferPointer { (bytes) throws(KernelError) in
        _ = try check("send", lx_send_now(worker.session.raw, bytes.baseAddress, bytes.count))
      }
    }
    let outsider = preparation.outsideUser
    if launch.stdin == .pipe {
      var ends = try pipe(owner: outsider)
      theirs.stdin = ends.first.take()
      worker.stdin = ends.second.take()
      try check("fcntl", lx_set_nonblocking(worker.stdin.raw))
    }
    // A terminal is made inside, and comes through the control socket.
    let captures = launch.terminal == nil
    if captures && launch.stdout == .capture {
      var ends = try pipe(owner: outsider)
      worker.stdout = ends.first.take()
      theirs.stdout = ends.second.take()
      try check("fcntl", lx_set_nonblocking(worker.stdout.raw))
    }
    if captures && launch.stderr == .capture {
      var ends = try pipe(owner: outsider)
      worker.stderr = ends.first.take()
      theirs.stderr = ends.second.take()
      try check("fcntl", lx_set_nonblocking(worker.stderr.raw))
    }
    theirs.plan = try planFile(preparation.plan)

    // In the order of `InitDescriptor`.
    var descriptors: [Int32] = [
      stream(theirs.stdin.raw, inherited: inherits[0] ? 0 : nil),
      stream(theirs.stdout.raw, inherited: inherits[1] ? 1 : nil),
      stream(theirs.stderr.raw, inherited: inherits[2] ? 2 : nil),
      theirs.control.raw, ownPidfd.raw, theirs.plan.raw,
      hasSession ? theirs.session.raw : null.raw, hasSession ? theirs.page.raw : null.raw,
      arena == nil ? null.raw : theirs.arena.raw,
    ]
    descriptors.append(contentsOf: preparation.trees)
    descriptors.append(contentsOf: groups.descriptors)
    var group: OwnedFD?
    if groups.tree.beginsInGroup, let first = groups.groups.first { group = try first.folder() }
    let result = try launchInit(preparation, descriptors, group: group?.raw ?? -1)
    worker.pidfd = OwnedFD(adopting: result.pidfd)
    worker.initPid = result.pid
    worker.groups = groups
    worker.groups.tree = preparation.tree
    for group in groups.groups { group.close() }

    do throws(KernelError) {
      try locked { () throws(KernelError) in try adopt(worker) }
    } catch {
      worker.destroy()
      throw error
    }
    // The compiler's detached mounts and the child's ends are closed here, once init has its own copies.
    withExtendedLifetime(preparation) {}
    return id
  }

  private func adopt(_ worker: Worker) throws(KernelError) {
    worker.clearLowDescriptors()
    do throws(KernelError) {
      for watched in Watched.allCases where worker.descriptor(watched) >= 0 {
        // Standard input is watched only while something waits to be written.
        try watch(worker, watched, watched == .stdin ? 0 : EPOLLIN.rawValue)
      }
    } catch {
      for watched in Watched.allCases where watched != .pidfd { drop(worker, watched) }
      throw error
    }
    workers[worker.id] = worker
    arm(worker)
  }

  func launchInit(
    _ preparation: Preparation, _ descriptors: [Int32], group: Int32 = -1
  ) throws(KernelError) -> claunch_result {
    var request = claunch_request()
    request.namespaces = preparation.namespaces
    request.network = preparation.network
    request.group = group
    request.deny_setgroups = preparation.denySetgroups ? 1 : 0
    request.keep_capabilities = preparation.keepCapabilities ? 1 : 0
    request.init_fd = initImage.raw
    var result = claunch_result()
    // C strings that outlive the call.
    let uidMap = preparation.uidMap.map(cString)
    let gidMap = preparation.gidMap.map(cString)
    let error = descriptors.withUnsafeBufferPointer { descriptors in
      withCString(uidMap) { uid in
        withCString(gidMap) { gid in
          request.uid_map = uid
          request.gid_map = gid
          request.descriptors = descriptors.baseAddress
          request.descriptor_count = descriptors.count
          return claunch_spawn(&request, &result)
        }
      }
    }
    if error < 0 { throw KernelError(call: LaunchStage.name(result.stage), errno: -error) }
    return result
  }

  /// A standard stream that is neither captured nor usable of the host's is /dev/null.
  private func stream(_ own: Int32, inherited: Int32?) -> Int32 {
    if own >= 0 { return own }
    return inherited ?? null.raw
  }

  func planFile(_ plan: Plan) throws(KernelError) -> OwnedFD {
    let file = OwnedFD(
      adopting: Int32(try check(LaunchStage.memory, lx_unnamed_file("lauter-plan"))))
    let bytes = plan.encoded()
    var written = 0
    while written < bytes.count {
      let start = written
      written += try bytes.withUnsafeBufferPointer { (bytes) throws(KernelError) in
        try check("write", lx_write(file.raw, bytes.baseAddress! + start, bytes.count - start))
      }
    }
    return file
  }

  /// A pipe that the worker may open again by name (`/dev/stdout`), though its user id is another's.
  private func pipe(
    owner: (uid: UInt32, gid: UInt32)?
  ) throws(KernelError) -> FDPair {
    let ends = try pair("pipe2", lx_pipe)
    if let owner { _ = lx_fchown(ends.second.raw, owner.uid, owner.gid) }
    return ends
  }

  private func pair(
    _ call: StaticString, _ make: (UnsafeMutablePointer<Int32>) -> Int
  ) throws(KernelError) -> FDPair {
    var first: Int32 = -1
    var second: Int32 = -1
    let result = withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2) { both in
      let result = make(both.baseAddress!)
      first = both[0]
      second = both[1]
      return result
    }
    try check(call, result)
    return FDPair(first: OwnedFD(adopting: first), second: OwnedFD(adopting: second))
  }
}

/// The reading and the writing end, or two ends of the same kind.
private struct FDPair: ~Copyable {
  var first: OwnedFD?
  var second: OwnedFD?
}

/// The worker's and init's ends: closed in the host once init has its copies.
private struct ChildEnds: ~Copyable {
  var stdin: OwnedFD?
  var stdout: OwnedFD?
  var stderr: OwnedFD?
  var control: OwnedFD?
  var session: OwnedFD?
  var page: OwnedFD?
  var arena: OwnedFD?
  var plan: OwnedFD?
}

private func cString(_ text: String) -> [CChar] { text.utf8.map { CChar(bitPattern: $0) } + [0] }

private func withCString<R>(_ text: [CChar]?, _ body: (UnsafePointer<CChar>?) -> R) -> R {
  guard let text else { return body(nil) }
  return text.withUnsafeBufferPointer { body($0.baseAddress) }
}
