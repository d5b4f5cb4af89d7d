// SPDX-License-Identifier: Apache-2.0

#if canImport(CLaunch)
  import CLaunch
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// What can be found out without starting anything.
extension SandboxCompiler {
  /// - Parameter folders: where a worker might be let.
  package func findings(_ here: Circumstances, folders: [String]) -> [Finding] {
    var findings = [idMappedMounts(folders), groups, processCount]
    if offer.landlock == 0 {
      let errno = Int32(truncatingIfNeeded: -lx_landlock_abi())
      findings.append(
        Finding(
          "landlock", "a second wall around files, signals and abstract sockets",
          words: "read write", .tolerated, "landlock_create_ruleset: \(errnoText(errno))",
          here.noLandlock(errno)))
    }
    if offer.landlock < SandboxCompiler.leastLandlock {
      findings.append(
        Finding(
          "without-namespaces", "allow-missing namespaces: what confines where they are refused",
          .info, "not possible: it takes the Landlock of Linux 6.12"))
    }
    return findings + [quotas, controlGroups, surroundings(here)]
  }

  // MARK: Files of others

  private func idMappedMounts(_ folders: [String]) -> Finding {
    var finding = Finding(
      "id-mapped-mounts", "lend the worker folders that belong to others",
      words: "read write home", .ok, "not needed: workers have the id of their host's user")
    guard offer.mapsUsers else { return finding }
    let mounts = MountLine.all()
    var lent = ""
    var refused = ""
    for folder in folders {
      guard let file = HostFile.existing(folder), file.isDirectory, file.path.utf8.count > 1 else {
        continue
      }
      let error = map(file)
      let text = "\(file.path) (\(MountLine.type(at: file.path, mounts)))"
      if error == 0 { lent.list(text) } else { refused.list("\(text): \(errnoText(error))") }
    }
    finding.detail = refused.utf8.isEmpty ? "on \(lent)" : "not on \(refused)"
    if refused.utf8.isEmpty { return finding }
    finding.status = .tolerated
    finding.diagnosis = Diagnosis(
      "that file system has no id-mapped mounts, or belongs to the machine outside this container",
      "to let a worker write there, run the host as an ordinary user, or let everybody write there")
    return finding
  }

  /// 0, or why the files there cannot be lent.
  private func map(_ file: HostFile) -> Int32 {
    let outside = Identity(offer, process: UInt32(lx_getpid()), ordinal: 0).outsideUser
    do throws(KernelError) {
      let tree = OwnedFD(adopting: Int32(try check("open_tree", csandbox_clone_tree(file.path))))
      let space = claunch_idmap_namespace(
        "\(file.uid) \(outside) 1\n", "\(file.gid) \(outside) 1\n")
      let owned = OwnedFD(adopting: Int32(try check("user namespace", Int(space))))
      try check("mount_setattr", csandbox_map_tree(tree.raw, owned.raw))
      return 0
    } catch {
      return error.errno
    }
  }

  // MARK: Users

  private var groups: Finding {
    var finding = Finding(
      "groups", "the worker is in no group of its host's", words: "read write", .ok,
      offer.mapsUsers ? "setgroups" : "the host has no supplementary groups")
    if offer.mapsUsers || !offer.hasGroups { return finding }
    finding.status = .tolerated
    finding.detail = "the host's supplementary groups stay"
    finding.diagnosis = Diagnosis(
      "an ordinary user cannot shed supplementary groups",
      """
      nothing to do unless a folder that the policy shows is open to them alone; \
      then run the host as a user without, or as root
      """)
    return finding
  }

  private var processCount: Finding {
    var finding = Finding(
      "process-count", "limit processes", words: "limit", .ok, "counted by user id and namespace")
    guard offer.isMachineRoot else { return finding }
    finding.detail += "; not for unconfined, whose workers are root"
    if offer.mapsUsers { return finding }
    finding.status = .missing
    finding.detail = "the kernel does not count the processes of root"
    finding.diagnosis = Diagnosis(
      "this root has no range of user ids to give a worker one of, or lacks CAP_SYS_ADMIN, CAP_SETUID or CAP_SETGID",
      "run the host as another user, or give up the limit with --limit processes=none")
    return finding
  }

  // MARK: For information

  /// Where little of this is left, workers fail for no visible reason.
  private var quotas: Finding {
    var facts = ""
    var low = ""
    func tell(_ what: StaticString, _ value: UInt64?, least: UInt64) {
      guard let value else { return }
      let text =
        value >= 1 << 62
        ? "\(what) unlimited"
        : value >= 1 << 30 ? "\(what) \(value >> 30)G" : "\(what) \(value)"
      facts.list(text)
      if value < least { low.list(text) }
    }
    let processes: UInt32 = 6
    tell("processes (ulimit -u)", softLimit(processes), least: 512)
    tell("open files (ulimit -n)", softLimit(UInt32(LX_RLIMIT_NOFILE)), least: 256)
    tell("data (ulimit -d)", softLimit(UInt32(LX_RLIMIT_DATA)), least: 1 << 30)
    tell("processes of the cgroup", groupLimit("pids", "pids.max"), least: 512)
    tell("memory of the cgroup", groupLimit("memory", "memory.limit_in_bytes"), least: 1 << 30)
    tell("memory of the cgroup", groupLimit("", "memory.max"), least: 1 << 30)
    tell("processes of the cgroup", groupLimit("", "pids.max"), least: 512)
    tell("user namespaces", Circumstances.setting(NamespaceKind.user.knob), least: 64)
    tell("inotify instances", Circumstances.setting("fs.inotify.max_user_instances"), least: 64)
    tell("pipe pages", Circumstances.setting("fs.pipe-user-pages-soft"), least: 4096)
    var finding = Finding(
      "quotas", "what workers share with the rest of their host's user", .info, facts)
    if !low.utf8.isEmpty {
      finding.diagnosis = Diagnosis(
        "little is left",
        "raise it if workers fail to start processes, to open files or to get memory", about: low)
    }
    return finding
  }

  private func softLimit(_ resource: UInt32) -> UInt64? {
    var soft: UInt64 = 0
    var hard: UInt64 = 0
    return lx_getrlimit(resource, &soft, &hard) == 0 ? soft : nil
  }

  /// A limit of this process' group: of a controller of version 1, or, for "", of version 2.
  private func groupLimit(_ controller: StaticString, _ file: StaticString) -> UInt64? {
    let folder =
      controller.utf8CodeUnitCount == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/\(controller)"
    return controlGroup(controller).flatMap { Circumstances.number(in: "\(folder)\($0)/\(file)") }
  }

  /// "3:memory:/path", "0::/path".
  private func controlGroup(_ controller: StaticString) -> String? {
    for line in Circumstances.text("/proc/self/cgroup").utf8.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(
        separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3, fields[1].elementsEqual("\(controller)".utf8) else { continue }
      return String(decoding: line.drop { $0 != UInt8(ascii: "/") }, as: UTF8.self)
    }
    return nil
  }

  private var controlGroups: Finding {
    var old = ""
    var facts = ""
    for mount in MountLine.all() where isAt(0, mount.type, "cgroup") {
      if mount.type.utf8.count == 6 {
        for name in mount.place.utf8.split(separator: UInt8(ascii: "/")).suffix(1) {
          old.list(String(decoding: name, as: UTF8.self))
        }
        continue
      }
      let folder = mount.place + (controlGroup("") ?? "")
      let controllers = Circumstances.text(folder + "/cgroup.controllers").utf8.prefix {
        $0 >= 0x20
      }
      facts.list(
        "version 2 (\(String(decoding: controllers, as: UTF8.self))), "
          + (lx_access(folder, 2) == 0 ? "ours to divide" : "not ours to divide"))
    }
    if !old.utf8.isEmpty { facts.list("version 1 (\(old))") }
    return Finding(
      "cgroups", "the control groups that this process is in", .info,
      facts.utf8.isEmpty ? "none" : facts)
  }

  private func surroundings(_ here: Circumstances) -> Finding {
    let release = Circumstances.text("/proc/sys/kernel/osrelease").utf8.prefix { $0 > 0x20 }
    var facts = "Linux \(String(decoding: release, as: UTF8.self))"
    facts.list(
      offer.isMachineRoot ? "root" : offer.mapsUsers ? "a container's root" : "user \(offer.uid)")
    switch here.container {
    case .docker: facts.list("in a Docker container")
    case .podman: facts.list("in a Podman container")
    case .other: facts.list("in a container")
    case .none: break
    }
    if here.isFiltered { facts.list("below a seccomp filter") }
    if !here.appArmorProfile.utf8.isEmpty { facts.list("AppArmor profile \(here.appArmorProfile)") }
    if here.isChrooted { facts.list("in a chroot") }
    if !here.coversOnProc.isEmpty { facts.list("with a masked /proc") }
    return Finding("surroundings", "where the host runs", .info, facts)
  }
}
