// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What every confined worker sees: `SystemView`, as far as this machine has it.
extension View {
  /// - Parameter terminal: that the worker has one of its own.
  init(
    system policy: Policy, _ identity: Identity, _ machine: SystemFiles, terminal: Bool
  ) throws(SandboxError) {
    self.init(entries: machine.entries)
    addDevices(policy, terminal)
    try addEtc(policy, identity)
    // `subset=pid` leaves nothing but processes, which Julia and the JVM cannot live with; numpy
    // can.
    put("/proc", .proc(View.procOptions(policy)))
    put("/tmp", .tmpfs(size: policy.temporaryBytes, mode: 0o1777))
    put("/run", .folder)
    put("/var/tmp", .link("/tmp"))
    if case .own = policy.home, let home = policy.homePath {
      put(home, .tmpfs(size: policy.temporaryBytes, mode: 0o700))
    }
  }

  static func procOptions(_ policy: Policy) -> String {
    // The kernel lets a /proc be mounted by those alone who see all of one.
    if policy.nests { return "" }
    return policy.preset == .strict ? "subset=pid,hidepid=invisible" : "masked"
  }

  private mutating func addDevices(_ policy: Policy, _ terminal: Bool) {
    put("/dev/fd", .link("/proc/self/fd"))
    put("/dev/stdin", .link("/proc/self/fd/0"))
    put("/dev/stdout", .link("/proc/self/fd/1"))
    put("/dev/stderr", .link("/proc/self/fd/2"))
    // Much of the kernel lies behind a terminal.
    if policy.preset != .strict || terminal {
      put("/dev/pts", .devpts)
      put("/dev/ptmx", .link("pts/ptmx"))
    } else {
      remove("/dev/tty")
    }
    if policy.preset == .strict {
      // Nothing is writable but /tmp; what shares memory by name does so there.
      put("/dev/shm", .link("/tmp"))
    } else {
      put("/dev/shm", .tmpfs(size: policy.temporaryBytes, mode: 0o1777))
    }
  }

  // MARK: /etc

  private mutating func addEtc(_ policy: Policy, _ identity: Identity) throws(SandboxError) {
    if policy.network == .host, let file = try HostFile.find("/etc/resolv.conf"), file.isRegular {
      put("/etc/resolv.conf", .tree(file, [], mapped: false))
    }
    put("/etc/hosts", .file(try View.hosts(policy.network)))
    put("/etc/hostname", .file(Array((SystemView.hostname + "\n").utf8)))
    put("/etc/machine-id", .file(Array((SystemView.machineID + "\n").utf8)))
    // Without the machine's directory services, whose sockets are not here.
    put("/etc/nsswitch.conf", .file(Array(View.nameServices.utf8)))
    let home = policy.homePath ?? "/tmp"
    put("/etc/passwd", .file(View.passwd(identity, home)))
    put("/etc/group", .file(View.group(identity)))
  }

  private static func hosts(_ network: Policy.Network) throws(SandboxError) -> [UInt8] {
    let name = SystemView.hostname
    if network == .host, var hosts = try HostFile.read("/etc/hosts", upTo: 1 << 20) {
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
  /// A folder that everybody may list and enter, or a file that everybody may read.
  var isOpenToAll: Bool { isDirectory ? mode & 0o005 == 0o005 : mode & 0o004 != 0 }
}
