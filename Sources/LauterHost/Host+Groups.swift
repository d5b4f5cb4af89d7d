// SPDX-License-Identifier: Apache-2.0

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

/// Where a host's groups can lie. Looked at once, when the first worker needs one.
struct GroupGround {
  let owner: GroupOwner?
  var places = GroupPlaces()
  /// What is said of version 2 below `places.unified`.
  var offersMemory = false
  var offersProcesses = false
  var offersShares = false

  /// Look, and take away what dead hosts left.
  init() {
    owner = GroupOwner.here()
    guard let owner else { return }
    places = GroupPlaces.here()
    for folder in [
      places.memory, places.cpu, places.share, places.processes, places.unified,
    ] {
      if let folder { owner.sweep(folder) }
    }
    guard let unified = places.unified else { return }
    let control = unified + "/cgroup.subtree_control"
    // Nobody else can be disturbed by it: below the machine's root everybody has a group of his own.
    if places.isUnifiedRoot && !holds(Circumstances.text(control), "memory") {
      let fd = lx_open(control, O_WRONLY | O_CLOEXEC, 0)
      if fd >= 0 {
        let file = OwnedFD(adopting: Int32(fd))
        _ = lx_write(file.raw, "+memory +pids", 13)
        // By itself: where real-time processes are about, it is refused.
        _ = lx_write(file.raw, "+cpu", 4)
      }
    }
    let given = Circumstances.text(control)
    offersMemory = holds(given, "memory")
    offersProcesses = holds(given, "pids")
    for name in given.utf8.split(whereSeparator: { $0 <= 0x20 }) {
      if name.elementsEqual("cpu".utf8) { offersShares = true }
    }
  }
}

/// The groups that one worker is in.
struct WorkerGroups {
  var tree = TreeLimits()
  var groups: [ControlGroup] = []
  /// In the order that the plan has.
  var descriptors: [Int32] { groups.flatMap { $0.descriptors } }
  /// The most memory that its processes had together, bytes; 0 if it is not known.
  var peak: UInt64 { groups.reduce(0) { max($0, $1.peak) } }
}

extension Host {
  /// What the limits of a policy hold by, without making anything.
  func treeLimits(_ policy: Policy) -> TreeLimits {
    lx_mutex_lock(compilerLock)
    defer { lx_mutex_unlock(compilerLock) }
    if ground == nil { ground = GroupGround() }
    var tree = TreeLimits()
    guard let ground else { return tree }
    let canCount = groupRefusal == 0 && ground.owner != nil
    let places = ground.places
    if policy.memoryBytes != nil {
      tree.memory = .sum
      if canCount && places.memory != nil {
        tree.memory = .group1
      } else if canCount && ground.offersMemory {
        tree.memory = .group2
      }
    }
    let unified = tree.memory == .group2 || canCount && places.memory == nil && ground.offersMemory
    if policy.cpuMilliseconds != nil && canCount {
      tree.cpuVersion = unified ? 2 : places.cpu != nil ? 1 : 0
    }
    if policy.milliCPUs != nil && canCount {
      tree.shareVersion =
        unified && ground.offersShares ? 2 : places.share != nil && !unified ? 1 : 0
      if let share = places.share, let cpu = places.cpu, tree.cpuVersion == 1 {
        tree.sharesWhereCounted = share.utf8.elementsEqual(cpu.utf8)
      }
    }
    if policy.processes != nil && canCount && compiler.countsNoProcesses(of: policy) {
      tree.processVersion =
        unified && ground.offersProcesses ? 2 : places.processes != nil && !unified ? 1 : 0
    }
    // Where processor time is dealt out init stays outside, lest it wait with its worker.
    tree.beginsInGroup = tree.isUnified && tree.shareVersion == 0 && birthRefusal == 0
    return tree
  }

  /// Groups for a worker with these limits. Where the host may make none, init takes over what it can.
  func takeGroups(_ policy: Policy) throws(KernelError) -> WorkerGroups {
    var taken = WorkerGroups(tree: treeLimits(policy))
    let tree = taken.tree
    guard let places = ground?.places else { return taken }
    let share = policy.milliCPUs ?? 0
    do throws(KernelError) {
      if tree.isUnified, let folder = places.unified {
        let memory = tree.memory == .group2 ? policy.memoryBytes ?? 0 : 0
        var processes = tree.processVersion == 2 ? policy.processes ?? 0 : 0
        // Init is one of them.
        if processes > 0 && tree.beginsInGroup { processes += 1 }
        taken.groups.append(
          try group(.unified, in: folder, memory, tree.shareVersion == 2 ? share : 0, processes))
        return taken
      }
      if tree.memory == .group1, let folder = places.memory {
        taken.groups.append(try group(.memory, in: folder, policy.memoryBytes ?? 0, 0, 0))
      }
      if tree.cpuVersion == 1, let folder = places.cpu {
        taken.groups.append(try group(.cpu, in: folder, 0, tree.sharesWhereCounted ? share : 0, 0))
      }
      if tree.shareVersion == 1, !tree.sharesWhereCounted, let folder = places.share {
        taken.groups.append(try group(.share, in: folder, 0, share, 0))
      }
      if tree.processVersion == 1, let folder = places.processes {
        taken.groups.append(try group(.processes, in: folder, 0, 0, policy.processes ?? 0))
      }
      return taken
    } catch {
      locked { giveBack(taken.groups) }
      guard error.call.isSame(as: "mkdir") && Host.forbidsGroups(error.errno) else { throw error }
      lx_mutex_lock(compilerLock)
      groupRefusal = error.errno
      lx_mutex_unlock(compilerLock)
    }
    return WorkerGroups(tree: treeLimits(policy))
  }

  /// That this host may make no groups; anything else is a shortage, which a launch tells.
  private static func forbidsGroups(_ errno: Int32) -> Bool {
    [EACCES, EPERM, EROFS, ENOENT, ENODEV, EOPNOTSUPP].contains(errno)
  }

  private func group(
    _ kind: ControlGroup.Kind, in folder: String, _ memory: UInt64, _ share: UInt64,
    _ processes: UInt64
  ) throws(KernelError) -> ControlGroup {
    let spare: ControlGroup? = locked {
      removeLeftGroups()
      for index in spareGroups.indices where spareGroups[index].kind == kind {
        if spareGroups[index].memory == memory { return spareGroups.remove(at: index) }
      }
      return nil
    }
    if let spare {
      do throws(KernelError) { try spare.begin() } catch {
        locked { giveBack([spare]) }
        throw error
      }
      return spare
    }
    // There may be several hosts in this process.
    var number: UInt64 = 0
    let count = withUnsafeMutableBytes(of: &number) { lx_getrandom($0.baseAddress, $0.count) }
    if count != 8 { throw KernelError(call: "getrandom", errno: count < 0 ? Int32(-count) : EIO) }
    let name = ground?.owner?.name(number >> 4) ?? ""
    return try ControlGroup(
      kind, at: "\(folder)/\(name)", memory: memory, share: share, processes: processes)
  }

  /// Nobody is in these any more. The lock is held.
  func giveBack(_ groups: [ControlGroup], fit: Bool = true) {
    for group in groups {
      // A launch that failed has not handed them to init.
      group.close()
      if fit && spareGroups.count < Host.spareGroupsMax && group.renew() {
        spareGroups.append(group)
      } else if !group.remove() {
        leftGroups.append(group)
      }
    }
  }

  /// To make one and to remove it takes five times as long as to use one again.
  private static let spareGroupsMax = 8

  /// Those which the kernel was not done with. The lock is held.
  private func removeLeftGroups() {
    guard !leftGroups.isEmpty else { return }
    leftGroups.removeAll { $0.remove() }
  }

  /// Before the host goes. Its workers are gone.
  func removeGroups() {
    for group in spareGroups where !group.remove() { leftGroups.append(group) }
    spareGroups = []
    // The kernel takes a process out of its group a moment after its end is told.
    let deadline = lx_now() + 100_000_000
    while true {
      removeLeftGroups()
      guard !leftGroups.isEmpty, lx_now() < deadline else { return }
      _ = lx_poll(nil, 0, 1_000_000)
    }
  }
}
