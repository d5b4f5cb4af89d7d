// SPDX-License-Identifier: Apache-2.0

/// What every confined worker sees of the machine, without being asked: programs and libraries, and
/// of /etc only what libraries look up, nothing that names users, keys, services or the network of
/// the machine.
package enum SystemView {
  /// Folders that are readable where they exist. On a merged-usr system all but the first are links
  /// into it.
  package static let folders = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]

  /// Below /etc, what is readable where it exists: what libraries and language runtimes look up,
  /// and little more, for each costs a launch ten to twenty microseconds. No private keys
  /// (ssl/private), no tokens (npmrc, gitconfig), no accounts.
  package static let etc = [
    "alternatives", "crypto-policies", "fonts", "ImageMagick-6", "julia", "ld-musl-aarch64.path",
    "ld-musl-x86_64.path", "ld.so.cache", "localtime", "matplotlibrc", "mime.types", "OpenCL",
    "openmpi", "os-release", "pki/ca-trust/extracted", "pki/tls/cert.pem", "pki/tls/certs",
    "pki/tls/openssl.cnf", "protocols", "R", "services", "ssl/cert.pem", "ssl/certs",
    "ssl/openssl.cnf", "texmf", "timezone", "vulkan",
  ]

  /// Beginnings of further names in /etc that are readable: versioned folders of language runtimes.
  package static let etcPrefixes = ["java-", "octave", "python3"]

  /// Names in /etc that are readable with `net host`: how names are resolved there.
  package static let etcNetwork = ["resolv.conf", "hosts"]

  /// Names in /etc that are made afresh for the worker.
  package static let etcOwn = [
    "group", "hostname", "hosts", "machine-id", "nsswitch.conf", "passwd",
  ]

  /// Nodes in /dev, where they exist.
  package static let devices = ["null", "zero", "full", "random", "urandom", "tty"]

  /// In a full /proc, what init covers (its own list says why), and of init's process what the kernel shows to none who may
  /// not trace it.
  static let procCovered = [
    "acpi", "asound", "cmdline", "diskstats", "interrupts", "kcore", "key-users", "keys",
    "latency_stats", "modules", "partitions", "sched_debug", "scsi", "sysrq-trigger", "timer_list",
    "timer_stats",
  ]
  static let procOfInit = [
    "auxv", "cwd", "environ", "exe", "fd", "fdinfo", "io", "map_files", "maps", "mem", "ns",
    "numa_maps", "pagemap", "personality", "root", "smaps", "smaps_rollup", "stack", "syscall",
    "timers",
  ]

  /// The home of `home private`, and the next choice if the policy has put something else there.
  package static let privateHomes = ["/home/worker", "/worker"]

  /// The worker's host name.
  package static let hostname = "lauter"

  /// Every worker's machine-id, on every machine: what asks for one (D-Bus, Qt) is content, and nobody is known by it.
  /// In form a random UUID, as machine-id(5) wants it.
  package static let machineID = "6c617574657240008000000000000000"

  /// Whether the system view shows `path`, which is normalised.
  static func shows(_ path: String, network: Policy.Network) -> Bool {
    if PolicyPath.same(path, "/") || PolicyPath.same(path, "/etc") { return true }
    for folder in folders where PolicyPath.isWithin(path, folder) { return true }
    if PolicyPath.isWithin(path, "/dev") { return true }
    guard PolicyPath.isBelow(path, "/etc") else { return false }
    let name = String(decoding: path.utf8.dropFirst("/etc/".utf8.count), as: UTF8.self)
    let isListed = (etc + etcOwn + (network == .host ? etcNetwork : [])).contains {
      // A folder on the way to a listed one is there as well.
      PolicyPath.isWithin(name, $0) || PolicyPath.isWithin($0, name)
    }
    return isListed || etcPrefixes.contains { name.utf8.starts(with: $0.utf8) }
  }
}
