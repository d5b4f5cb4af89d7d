// SPDX-License-Identifier: Apache-2.0

/// What every confined worker sees of the machine, without being asked: programs and libraries, and of /etc only what
/// libraries look up, nothing that names users, keys, services or the network of the machine.
package enum SystemView {
  /// Folders that are readable where they exist. On a merged-usr system all but the first are links into it.
  package static let folders = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]

  /// Names in /etc that are readable where they exist.
  package static let etc = [
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies",
    "debian_version", "fonts", "gai.conf", "groff", "gtk-2.0", "gtk-3.0", "host.conf",
    "ImageMagick-6", "inputrc", "java", "jupyter", "julia", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "lsb-release", "magic",
    "magic.mime", "mailcap", "matplotlibrc", "mime.types", "networks", "nsswitch.conf", "OpenCL",
    "openmpi", "os-release", "papersize", "perl", "pki", "protocols", "python2.7", "R", "rpc",
    "services", "sgml", "shells", "ssl", "terminfo", "texmf", "timezone", "vulkan", "xattr.conf",
    "xml",
  ]

  /// Beginnings of further names in /etc that are readable: versioned folders of language runtimes.
  package static let etcPrefixes = [
    "python3", "java-", "bash.bashrc", "ld-musl-", "ruby", "lua", "octave",
  ]

  /// Names in /etc that are readable with `net host`: how names are resolved there.
  package static let etcNetwork = ["resolv.conf", "hosts"]

  /// Names in /etc that are made afresh for the worker.
  package static let etcOwn = ["passwd", "group", "hostname", "hosts"]

  /// Nodes in /dev, where they exist.
  package static let devices = ["null", "zero", "full", "random", "urandom", "tty"]

  /// The home of `home private`, and the next choice if the policy has put something else there.
  package static let privateHomes = ["/home/worker", "/worker"]

  /// The worker's host name.
  package static let hostname = "lauter"

  /// Whether the system view shows `path`, which is normalised.
  static func shows(_ path: String, network: Policy.Network) -> Bool {
    if PolicyPath.same(path, "/") || PolicyPath.same(path, "/etc") { return true }
    for folder in folders where PolicyPath.isWithin(path, folder) { return true }
    if PolicyPath.isWithin(path, "/proc") || PolicyPath.isWithin(path, "/dev") { return true }
    guard PolicyPath.isBelow(path, "/etc") else { return false }
    let name = path.utf8.dropFirst("/etc/".utf8.count).prefix { $0 != UInt8(ascii: "/") }
    for known in etc + etcOwn where name.elementsEqual(known.utf8) { return true }
    for prefix in etcPrefixes where name.starts(with: prefix.utf8) { return true }
    if network == .host {
      for known in etcNetwork where name.elementsEqual(known.utf8) { return true }
    }
    return false
  }
}
