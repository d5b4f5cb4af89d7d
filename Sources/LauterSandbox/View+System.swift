// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What every confined worker sees: `SystemView`, as far as this machine has it.
extension View {
  init(system policy: Policy, _ identity: Identity) {
    addPrograms()
    addEtc(policy, identity)
    addDevices(policy)
    // `subset=pid` leaves nothing but processes, which Julia and the JVM cannot live with; numpy can.
    put("/proc", .proc(policy.preset == .strict ? "subset=pid,hidepid=invisible" : "masked"))
    put("/tmp", .tmpfs(size: policy.temporaryBytes, mode: 0o1777))
    put("/run", .folder)
    put("/var/tmp", .link("/tmp"))
    if case .own = policy.home, let home = policy.homePath {
      put(home, .tmpfs(size: policy.temporaryBytes, mode: 0o700))
    }
  }

  private mutating func addPrograms() {
    for folder in SystemView.folders {
      if let target = HostFile.link(folder) {
        put(folder, .link(target))
      } else if let file = HostFile.existing(folder), file.isDirectory {
        put(folder, .tree(file, [], mapped: false))
      }
    }
  }

  private mutating func addDevices(_ policy: Policy) {
    for name in SystemView.devices {
      let path = "/dev/" + name
      guard let file = HostFile.existing(path) else { continue }
      put(path, .tree(file, .devices, mapped: false))
    }
    put("/dev/fd", .link("/proc/self/fd"))
    put("/dev/stdin", .link("/proc/self/fd/0"))
    put("/dev/stdout", .link("/proc/self/fd/1"))
    put("/dev/stderr", .link("/proc/self/fd/2"))
    put("/dev/pts", .devpts)
    put("/dev/ptmx", .link("pts/ptmx"))
    if policy.preset == .strict {
      // Nothing is writable but /tmp; what shares memory by name does so there.
      put("/dev/shm", .link("/tmp"))
    } else {
      put("/dev/shm", .tmpfs(size: policy.temporaryBytes, mode: 0o1777))
    }
  }

  // MARK: /etc

  /// Files up to this size are copied into the worker's /etc rather than mounted there: a fifth of the time.
  private static let smallFile = 16384

  private mutating func addEtc(_ policy: Policy, _ identity: Identity) {
    for name in SystemView.etc { addEtc("/etc/" + name) }
    for name in HostFile.names(in: "/etc") {
      let isListed = SystemView.etcPrefixes.contains { name.utf8.starts(with: $0.utf8) }
      if isListed { addEtc("/etc/" + name) }
    }
    if policy.network == .host { addEtc("/etc/resolv.conf") }
    put("/etc/hosts", .file(View.hosts(policy.network)))
    put("/etc/hostname", .file(Array((SystemView.hostname + "\n").utf8)))
    // Without the machine's directory services, whose sockets are not here.
    put("/etc/nsswitch.conf", .file(Array(View.nameServices.utf8)))
    let home = policy.homePath ?? "/tmp"
    put("/etc/passwd", .file(View.passwd(identity, home)))
    put("/etc/group", .file(View.group(identity)))
  }

  private mutating func addEtc(_ path: String) {
    guard let file = HostFile.existing(path) else { return }
    // A link into what the worker sees anyway stays a link.
    if let target = HostFile.link(path),
      SystemView.folders.contains(where: { PolicyPath.isWithin(file.path, $0) })
    {
      put(path, .link(target))
      return
    }
    if file.isRegular, file.isReadableByAll,
      let contents = HostFile.contents(file.path, upTo: View.smallFile + 1),
      contents.count <= View.smallFile
    {
      put(path, .file(contents))
      return
    }
    if file.isRegular || file.isDirectory { put(path, .tree(file, [], mapped: false)) }
  }

  private static func hosts(_ network: Policy.Network) -> [UInt8] {
    let name = SystemView.hostname
    if network == .host, var hosts = HostFile.contents("/etc/hosts", upTo: 1 << 20) {
      if let last = hosts.last, last != UInt8(ascii: "\n") { hosts.append(UInt8(ascii: "\n")) }
      return hosts + Array("127.0.1.1 \(name)\n".utf8)
    }
    return Array("127.0.0.1 localhost \(name)\n::1 localhost ip6-localhost ip6-loopback\n".utf8)
  }

  private static let nameServices = """
    passwd: files
    group: files
    shadow: files
    hosts: files dns
    networks: files
    protocols: files
    services: files
    ethers: files
    rpc: files

    """

  private static func passwd(_ identity: Identity, _ home: String) -> [UInt8] {
    var text = ""
    if identity.insideUser != 0 { text += "root:x:0:0:root:/:/usr/sbin/nologin\n" }
    text += "worker:x:\(identity.insideUser):\(identity.insideGroup):worker:\(home):/bin/sh\n"
    text += "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
    return Array(text.utf8)
  }

  private static func group(_ identity: Identity) -> [UInt8] {
    var text = ""
    if identity.insideGroup != 0 { text += "root:x:0:\n" }
    return Array((text + "worker:x:\(identity.insideGroup):\nnogroup:x:65534:\n").utf8)
  }
}

extension HostFile {
  var isReadableByAll: Bool { mode & 0o004 != 0 }
  /// A folder that everybody may list and enter, or a file that everybody may read.
  var isOpenToAll: Bool { isDirectory ? mode & 0o005 == 0o005 : isReadableByAll }
}
