// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What of `SystemView` this machine has. Looked up once and kept while nothing of it has changed:
/// a launch asks for forty paths, and resolving each anew costs it half a millisecond.
struct SystemFiles {
  /// In byte order of the paths.
  private(set) var entries: [ViewEntry] = []
  /// Folders, on which something may be mounted, those that the others are in, and devices. A file that comes, goes or is
  /// exchanged changes its folder; one that is written to stays the same. Init makes sure of each that it shows.
  private var seen: [Seen] = []

  /// What was at a path, not followed.
  private struct Seen {
    var path: String
    var status: lx_status
    /// It had not changed so lately that one more change could have the same time: the kernel's ticks are up to 10 ms.
    let wasSettled: Bool

    init(_ path: String) throws(KernelError) {
      var status = lx_status()
      try check("lstat", lx_lstat(path, &status))
      self.path = path
      self.status = status
      wasSettled = status.changed_ns < lx_clock() - 1_000_000_000
    }

    var isCurrent: Bool {
      var now = lx_status()
      guard wasSettled, lx_lstat(path, &now) == 0 else { return false }
      let same = now.device == status.device && now.inode == status.inode
      return same && now.changed_ns == status.changed_ns && now.mode == status.mode
    }
  }

  init() throws(SandboxError) {
    for folder in SystemView.folders { try add(folder) }
    for name in SystemView.etc { try add("/etc/" + name) }
    for name in try HostFile.names(in: "/etc") {
      let isListed = SystemView.etcPrefixes.contains { name.utf8.starts(with: $0.utf8) }
      if isListed { try add("/etc/" + name) }
    }
    for name in SystemView.devices {
      let path = "/dev/" + name
      guard let file = try HostFile.find(path) else { continue }
      entries.append(ViewEntry(path: path, kind: .tree(file, .devices, mapped: false)))
      try see(path)
    }
    entries.sort { PolicyPath.precedes($0.path, $1.path) }
  }

  /// Whether a look now would find the same.
  var isCurrent: Bool { seen.allSatisfy { $0.isCurrent } }

  private mutating func add(_ path: String) throws(SandboxError) {
    try see(PolicyPath.parent(path))
    guard let file = try HostFile.find(path) else { return }
    // A link into what the worker sees anyway stays a link.
    if let target = try HostFile.link(path) {
      try see(PolicyPath.parent(file.path))
      let isShown = SystemView.folders.contains { PolicyPath.isWithin(file.path, $0) }
      if isShown || SystemView.folders.contains(where: { PolicyPath.same($0, path) }) {
        entries.append(ViewEntry(path: path, kind: .link(target)))
        return
      }
    }
    guard file.isRegular || file.isDirectory else { return }
    if file.isDirectory { try see(file.path) }
    entries.append(ViewEntry(path: path, kind: .tree(file, [], mapped: false)))
  }

  private mutating func see(_ path: String) throws(SandboxError) {
    if seen.contains(where: { PolicyPath.same($0.path, path) }) { return }
    do throws(KernelError) { seen.append(try Seen(path)) } catch {
      try HostFile.refuse(shortage: error, path)
    }
  }
}
