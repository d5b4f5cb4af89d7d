// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  package import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// A plan in small: init is started and walks it, and what it ends with says whether this machine allows these steps.
/// The last step executes nothing, and says so when all the others are behind it.
package final class Probe {
  /// What it finds out, as yet true.
  package var finding: Finding
  package let namespaces: UInt64
  package let steps: [Step]
  /// The probe whose failure is this one's too, if init does not start or a step before `own` fails.
  package let base: StaticString
  package let own: Int

  @inline(never)
  init(
    _ namespaces: UInt64, _ steps: [Step], own: Int = 0, base: StaticString, _ finding: Finding
  ) {
    self.finding = finding
    self.namespaces = namespaces
    self.steps = steps
    self.own = own
    self.base = base
  }
}

extension SandboxCompiler {
  private static let user = NamespaceKind.user.rawValue
  private static let mounts = user | NamespaceKind.mount.rawValue | NamespaceKind.process.rawValue

  /// What plans are made of, piece by piece, in the order in which they need one another.
  package func probes() -> [Probe] {
    var probes = [
      Probe(
        0, [], base: "",
        Finding(
          "init", "start a worker's first process without the host's noticing a child", .ok,
          "clone, pidfd, execution of a sealed memfd"))
    ]
    for kind in NamespaceKind.allCases { probes.append(probe(of: kind)) }
    let identity = self.identity
    probes.append(
      Probe(
        SandboxCompiler.user, [become], base: "user-namespace",
        Finding(
          "user-id", "a user id that owns none of the machine's files", words: "read write", .ok,
          identity.isForeign
            ? "\(identity.insideUser) inside is \(identity.outsideUser) outside, which nobody has"
            : "the host's own, \(offer.uid): an ordinary user has no other to give")))
    probes.append(
      Probe(
        SandboxCompiler.user | NamespaceKind.network.rawValue, [.loopback],
        base: "network-namespace",
        Finding(
          "loopback", "net private: servers of the worker's own", words: "net", .ok,
          "lo in a network namespace")))
    addMounts(&probes)
    addWorkers(&probes)
    return probes
  }

  private var identity: Identity { Identity(offer, process: UInt32(lx_getpid()), ordinal: 0) }

  var become: Step {
    let identity = self.identity
    return .identity(
      uid: identity.insideUser, gid: identity.insideGroup, dropGroups: identity.isForeign)
  }

  private func probe(of kind: NamespaceKind) -> Probe {
    let (id, purpose, words): (StaticString, StaticString, StaticString) =
      switch kind {
      case .user: ("user-namespace", "the rights to build a sandbox, over nothing outside it", "")
      case .process:
        (
          "process-namespace", "no process of others is seen, and none of the worker's survives it",
          ""
        )
      case .mount:
        ("mount-namespace", "a view of files of the worker's own", "read write deny tmp home")
      case .network: ("network-namespace", "no network, or one of the worker's own", "net")
      case .ipc: ("ipc-namespace", "no System V memory or message queues of others", "")
      case .uts: ("host-name-namespace", "a host name that tells nothing", "")
      case .cgroup: ("cgroup-namespace", "no names of the machine's control groups", "")
      }
    let steps: [Step] =
      switch kind {
      case .mount: [.privateMounts]
      case .uts: [.hostname(SystemView.hostname)]
      default: []
      }
    return Probe(
      SandboxCompiler.user | kind.rawValue, steps,
      base: kind == .user ? "init" : "user-namespace",
      Finding(id, purpose, words: words, .ok, "clone"))
  }

  // MARK: Files

  private func addMounts(_ probes: inout [Probe]) {
    let root: [Step] = [.privateMounts, become, .newRoot(size: 1 << 20)]
    probes.append(
      Probe(
        SandboxCompiler.mounts, root + [.enterRoot, .readOnlyRoot], own: 1, base: "mount-namespace",
        Finding(
          "new-root", "what the policy does not show is not there",
          words: "read write deny tmp home", .ok, "tmpfs, pivot_root")))
    func add(_ steps: [Step], _ finding: Finding) {
      probes.append(
        Probe(SandboxCompiler.mounts, steps, own: root.count, base: "new-root", finding))
    }
    for name in SystemView.folders {
      guard let folder = HostFile.existing(name), folder.isDirectory else { continue }
      // Opened before the change of user, as plans do.
      let open = Step.openTree(
        slot: 0, path: folder.path, device: folder.device, inode: folder.inode)
      let attach = Step.attach(slot: 0, path: folder.path, access: [], isDirectory: true)
      probes.append(
        Probe(
          SandboxCompiler.mounts, [open] + root + [attach], base: "new-root",
          Finding(
            "read-only-folders", "folders of the machine that nobody can write through",
            words: "read write", .ok, "open_tree and mount_setattr of \(folder.path)")))
      break
    }
    add(
      root + [.tmpfs(path: "/tmp", size: 1 << 20, mode: 0o1777)],
      Finding(
        "memory-folders", "folders in memory: /tmp, a private home", words: "tmp home", .ok, "tmpfs"
      ))
    add(
      root
        + [.directory(path: "/covered", mode: 0o755), .mask(path: "/covered", isDirectory: true)],
      Finding(
        "covers", "an empty file or folder over what is hidden", words: "deny", .ok,
        "tmpfs, mount_setattr"))
    add(
      root + [.devpts(path: "/dev/pts")],
      Finding("terminals", "pseudo-terminals of the worker's own", .ok, "devpts"))
    add(
      root + [.proc(path: "/proc", options: "masked")],
      Finding(
        "proc", "notebook: /proc of the worker's processes, with the machine's knobs covered", .ok,
        "proc"))
    let options = "subset=pid,hidepid=invisible"
    add(
      root + [.proc(path: "/proc", options: options)],
      Finding(
        "proc-processes", "strict: /proc of the worker's processes and nothing else", .ok, options))
  }

  // MARK: The worker's own restrictions

  private func addWorkers(_ probes: inout [Probe]) {
    func add(_ steps: [Step], _ finding: Finding) {
      probes.append(Probe(SandboxCompiler.user, steps, base: "user-namespace", finding))
    }
    add(
      [.dropPrivilege(lastCapability: offer.lastCapability)],
      Finding("no-privilege", "give up every capability and the way back", .ok, "capset, prctl"))
    do throws(PolicyError) {
      add(
        limits(try Policy(preset: "notebook")),
        Finding(
          "limits", "memory, processes, open files, for each process", words: "limit", .ok,
          "setrlimit, as notebook has them"))
    } catch {}
    let purpose: StaticString = "a second wall around files, signals and abstract sockets"
    if offer.landlock > 0 {
      let rights = LandlockRights.known(offer.landlock).rawValue
      let rule = LandlockRule(path: "/", access: LandlockRights.read.rawValue)
      add(
        [
          .landlock(
            filesystem: rights, network: 0, scope: LandlockRights.scopes(offer.landlock),
            rules: [rule])
        ],
        Finding(
          "landlock", purpose, words: "read write", .ok,
          "ABI \(offer.landlock)"
            + (offer.landlock < 6
              ? "; sockets and signals, which matter to net host, from ABI 6 on" : "")))
    }
    if SandboxCompiler.leastLandlock <= offer.landlock {
      probes.append(
        Probe(
          0, [.dropCapabilities, .guarded], base: "init",
          Finding(
            "without-namespaces", "allow-missing namespaces: what confines where they are refused",
            .ok, "Landlock keeps signals within, init has a guard")))
    }
    let wish = FilterWish(internet: false, runsPrograms: true)
    let program = filter(wish).bytes(pass: 0)
    add(
      [.seccomp(program: program)],
      Finding(
        "seccomp", "only listed system calls exist", words: "run", .ok,
        "a filter of \(program.count / 8) instructions"))
  }

  /// What init needs to carry a probe out.
  package func preparation(for probe: Probe) -> Preparation {
    // Without a file to execute: when everything before it is done, it fails with ENOENT.
    var execution = Execution()
    execution.directory = "/"
    let identity = self.identity
    let isMapped = probe.namespaces & SandboxCompiler.user != 0
    return Preparation(
      plan: Plan(probe.steps + [.execute(execution)]), namespaces: probe.namespaces,
      uidMap: isMapped ? "\(identity.insideUser) \(identity.outsideUser) 1\n" : nil,
      gidMap: isMapped ? "\(identity.insideGroup) \(identity.outsideGroup) 1\n" : nil,
      outsideUser: nil, denySetgroups: isMapped && !identity.isForeign, trees: [], missing: [])
  }
}
