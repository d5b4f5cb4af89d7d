// SPDX-License-Identifier: Apache-2.0

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
  import LauterPolicy
#endif

/// Denied paths beneath trees, and how they are kept.
///
/// A cover is mounted on a *name*: when the host renames another file over it, or puts a new one in its place, the
/// cover is gone for the worker as well. So Landlock, which knows files and not names, does not grant such a tree as a
/// whole, but what lies beside the denied path and beside each folder on the way to it.
struct Denials {
  /// Kept by Landlock.
  private(set) var kept: [String] = []
  /// With a cover alone, since Landlock is missing or could keep them only at too high a price.
  private(set) var covered: [String] = []
  /// Whether one that is kept lies in a folder that may be written.
  private(set) var isInWritable = false

  /// How many files and folders may lie beside denied paths: each is a rule, at about 4 µs.
  static let mostBeside = 4096

  /// - Parameter isTolerant: whether the policy lets a cover do where nothing better can be had.
  init(_ view: View, landlock: Int, isTolerant: Bool) throws(SandboxError) {
    for entry in view.entries {
      switch entry.kind {
      case .hidden, .emptied: break
      default: continue
      }
      guard let reason = view.obstacle(to: entry.path, landlock: landlock) else {
        // In a writable folder a cover alone leaves it usable in full; who would rather have that says so.
        if isTolerant, view.isWritable(above: entry.path) {
          covered.append(entry.path)
        } else {
          kept.append(entry.path)
          if view.isWritable(above: entry.path) { isInWritable = true }
        }
        continue
      }
      guard isTolerant else {
        throw SandboxError(
          .unsupported, subject: entry.path,
          message:
            "deny \(entry.path): \(reason); to make do with a cover over the name, which goes "
            + "when the host renames something over it, add --allow-missing deny")
      }
      covered.append(entry.path)
    }
  }

  mutating func keep(_ path: String) { kept.append(path) }

  func hasAny(below path: String) -> Bool { kept.contains { PolicyPath.isBelow($0, path) } }

  /// What lies beside the kept paths below `folder`, which is the path of a tree: Landlock grants these in its place.
  ///
  /// Names of special files and symbolic links are left out (a link's target has a rule of its own), and so is what is
  /// a denied file under another name.
  func beside(in folder: String, of view: View) throws(SandboxError) -> [(
    path: String, isDirectory: Bool
  )] {
    var found: [(path: String, isDirectory: Bool)] = []
    var files: [(UInt64, UInt64)] = []
    for path in kept {
      var status = lx_status()
      if lx_lstat(path, &status) == 0 { files.append((status.device, status.inode)) }
    }
    try collect(folder, view, files, &found)
    return found
  }

  private func collect(
    _ folder: String, _ view: View, _ denied: [(UInt64, UInt64)],
    _ found: inout [(path: String, isDirectory: Bool)]
  ) throws(SandboxError) {
    for name in try names(in: folder) {
      let path = PolicyPath.join(folder, name)
      if view.entries.contains(where: { PolicyPath.same($0.path, path) }) { continue }
      var status = lx_status()
      let result = lx_lstat(path, &status)
      if result < 0 {
        try HostFile.refuse(shortage: KernelError(call: "lstat", errno: Int32(-result)), path)
        continue
      }
      let type = status.mode & 0o170000
      let isDirectory = type == 0o040000
      if isDirectory && hasAny(below: path) {
        try collect(path, view, denied, &found)
        continue
      }
      guard isDirectory || type == 0o100000 else { continue }
      if denied.contains(where: { $0.0 == status.device && $0.1 == status.inode }) { continue }
      found.append((path, isDirectory))
      if found.count > Denials.mostBeside {
        let path = kept.first { PolicyPath.isBelow($0, folder) } ?? folder
        throw SandboxError(
          .unsupported, subject: path,
          message:
            "deny \(path): more than \(Denials.mostBeside) files and folders lie beside it and "
            + "beside the folders on the way to it (in \(folder)), too many for rules of their own; "
            + "deny the folder that holds it, or name what may be read instead")
      }
    }
  }

  private func names(in folder: String) throws(SandboxError) -> [String] {
    do throws(KernelError) { return try HostFile.list(folder) } catch {
      throw SandboxError(
        error.errno == EACCES ? .denied : .system, subject: folder,
        message:
          "deny \(kept.first { PolicyPath.isBelow($0, folder) } ?? folder): to grant what lies "
          + "beside it the host has to list \(folder): \(error.call): \(errnoText(error.errno))",
        errno: error.errno)
    }
  }
}

extension View {
  /// Why Landlock cannot keep the denied `path`; nil if it can.
  fileprivate func obstacle(to path: String, landlock: Int) -> String? {
    if landlock == 0 { return "this machine has no Landlock, which keeps it when names change" }
    for entry in entries where PolicyPath.isBelow(path, entry.path) {
      switch entry.kind {
      // Whoever makes files in a folder has Landlock's rights over all that is below it. A link leads to one such.
      case .tmpfs, .link:
        return
          "it lies below \(entry.path), which is memory of the worker's own, and Landlock cannot "
          + "let it make files there and keep this one from it"
      default: break
      }
    }
    return nil
  }

  func isWritable(above path: String) -> Bool {
    for entry in entries where PolicyPath.isBelow(path, entry.path) {
      if case .tree(_, let access, _) = entry.kind, access.contains(.write) { return true }
    }
    return false
  }
}
