// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What the worker will find at one path.
struct ViewEntry {
  enum Kind {
    /// A file or folder of the machine, with everything below it. `mapped`: its owner's rights are
    /// to be the worker's.
    case tree(HostFile, TreeAccess, mapped: Bool)
    case tmpfs(size: UInt64, mode: UInt32)
    case folder
    case file([UInt8])
    case link(String)
    case proc(String)
    case devpts
    /// Something of a tree above, covered.
    case hidden(isDirectory: Bool)
    /// A folder of a tree above, covered by one that holds nothing but what else is named below it.
    case emptied
  }

  var path: String
  var kind: Kind
  /// Whether the host's own word asked for it, rather than the system view.
  var isNamed = false

  /// Whether the worker may make or change files there.
  var isWritable: Bool {
    switch kind {
    case .tree(_, let access, _): access.contains(.write)
    case .tmpfs: true
    default: false
    }
  }
}

/// The worker's file tree as a value: entries by path, each deciding about what lies below it until
/// the next.
struct View {
  /// In byte order of the paths: a folder before what lies below it.
  private(set) var entries: [ViewEntry]
  /// Whether the worker sees the machine's own tree, whole (unconfined).
  var isWhole = false

  /// - Parameter entries: in byte order of their paths.
  init(entries: [ViewEntry] = []) { self.entries = entries }

  /// Set what is at a path; later words win over earlier ones.
  mutating func put(_ path: String, _ kind: ViewEntry.Kind, named: Bool = false) {
    let entry = ViewEntry(path: path, kind: kind, isNamed: named)
    var index = 0
    var end = entries.count
    while index < end {
      let middle = (index + end) / 2
      let isBefore = PolicyPath.precedes(entries[middle].path, path)
      if isBefore { index = middle + 1 } else { end = middle }
    }
    if index < entries.count && PolicyPath.same(entries[index].path, path) {
      entries[index] = entry
    } else {
      entries.insert(entry, at: index)
    }
  }

  mutating func remove(_ path: String) { entries.removeAll { PolicyPath.same($0.path, path) } }

  /// The entry that decides about `path`: the most specific one at or above it.
  func decider(for path: String) -> ViewEntry? {
    entries.last { PolicyPath.isWithin(path, $0.path) }
  }

  /// What decides about the folder that the entry at `index` is in: it comes before it.
  private func kind(above index: Int) -> ViewEntry.Kind? {
    for other in stride(from: index - 1, through: 0, by: -1)
    where PolicyPath.isBelow(entries[index].path, entries[other].path) {
      return entries[other].kind
    }
    return nil
  }

  /// Remove what has no place: files and links that would have to be made inside a tree of the
  /// machine, covers with nothing below them to cover.
  mutating func settle() {
    // From the top, so that what was removed decides about nothing.
    var index = 0
    while index < entries.count {
      switch entries[index].kind {
      case .file, .link, .folder:
        switch kind(above: index) {
        case .tree, .link: entries.remove(at: index)
        default: index += 1
        }
      case .hidden(let isDirectory):
        let isInTree: Bool
        if case .tree = kind(above: index) { isInTree = true } else { isInTree = false }
        let path = entries[index].path
        let showsBelow = entries.contains { other in
          if case .hidden = other.kind { return false }
          return PolicyPath.isBelow(other.path, path)
        }
        if !isInTree {
          entries.remove(at: index)
        } else {
          if isDirectory && showsBelow { entries[index].kind = .emptied }
          index += 1
        }
      default: index += 1
      }
    }
  }

  /// Where on the machine what the worker sees as `path` lies; nil if it sees nothing of the
  /// machine there.
  ///
  /// Symbolic links of the view's own making are followed; those inside trees are the kernel's
  /// business.
  func source(of path: String) -> String? {
    if isWhole { return path }
    var path = path
    for _ in 0..<8 {
      guard let entry = decider(for: path) else { return nil }
      switch entry.kind {
      case .tree: return path
      case .link(let target):
        let rest = String(decoding: path.utf8.dropFirst(entry.path.utf8.count), as: UTF8.self)
        let base =
          target.utf8.first == UInt8(ascii: "/")
          ? target : PolicyPath.join(PolicyPath.parent(entry.path), target)
        guard let resolved = View.lexical(base + rest) else { return nil }
        path = resolved
      default: return nil
      }
    }
    return nil
  }

  /// Whether the worker finds a folder of the sandbox's own making at `path`: a tmpfs, or a parent
  /// of some entry.
  func makesFolder(_ path: String) -> Bool {
    if PolicyPath.same(path, "/") { return true }
    for entry in entries where PolicyPath.isWithin(entry.path, path) {
      if PolicyPath.isBelow(entry.path, path) { return true }
      switch entry.kind {
      case .tmpfs, .folder, .proc, .devpts, .emptied: return true
      default: break
      }
    }
    return false
  }

  /// `path` with `.` and `..` taken as text, which is right for links between folders that are no
  /// links themselves.
  private static func lexical(_ path: String) -> String? {
    var parts: [Substring.UTF8View] = []
    for part in path.utf8.split(separator: UInt8(ascii: "/")) {
      if part.elementsEqual(".".utf8) { continue }
      if part.elementsEqual("..".utf8) {
        if parts.popLast() == nil { return nil }
        continue
      }
      parts.append(part)
    }
    var bytes: [UInt8] = []
    for part in parts {
      bytes.append(UInt8(ascii: "/"))
      bytes.append(contentsOf: part)
    }
    return bytes.isEmpty ? "/" : String(decoding: bytes, as: UTF8.self)
  }
}
