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
  private var seen: [Seen] = []

  /// What was at a path, not followed.
  private struct Seen {
    var path: String
    var status: lx_status

    init(_ path: String) throws(KernelError) {
      var status = lx_status()
      try check("lstat", lx_lstat(path, &status))
      self.path = path
      self.status = status
    }

    var isCurrent: Bool {
      var now = lx_status()
      guard lx_lstat(path, &now) == 0 else { return false }
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
    // A file that comes or goes changes its folder.
    let parent = PolicyPath.parent(path)
    if !seen.contains(where: { PolicyPath.same($0.path, parent) }) { try see(parent) }
    guard let file = try HostFile.find(path) else { return }
    try see(path)
    // A link into what the worker sees anyway stays a link.
    if let target = try HostFile.link(path) {
      try see(file.path)
      let isShown = SystemView.folders.contains { PolicyPath.isWithin(file.path, $0) }
      if isShown || SystemView.folders.contains(where: { PolicyPath.same($0, path) }) {
        entries.append(ViewEntry(path: path, kind: .link(target)))
        return
      }
    }
    guard file.isRegular || file.isDirectory else { return }
    entries.append(ViewEntry(path: path, kind: try SystemFiles.shown(file)))
  }

  private mutating func see(_ path: String) throws(SandboxError) {
    do throws(KernelError) { seen.append(try Seen(path)) } catch {
      try HostFile.refuse(shortage: error, path)
    }
  }

  /// Files up to this size are copied into the worker's /etc rather than mounted there: half of the
  /// time.
  private static let smallFile = 16384

  static func shown(_ file: HostFile) throws(SandboxError) -> ViewEntry.Kind {
    if file.isRegular, file.isReadableByAll,
      let contents = try HostFile.read(file.path, upTo: smallFile + 1), contents.count <= smallFile
    {
      return .file(contents)
    }
    return .tree(file, [], mapped: false)
  }
}
