// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

extension View {
  /// The trees, in the order of their slots.
  var trees: [(file: HostFile, access: TreeAccess, mapped: Bool)] {
    entries.compactMap { entry in
      if case .tree(let file, let access, let mapped) = entry.kind { return (file, access, mapped) }
      return nil
    }
  }

  /// The steps that build the view in the new root; trees are in slots already.
  var steps: [Step] {
    var steps: [Step] = []
    var slot: UInt16 = 0
    for entry in entries {
      let path = entry.path
      switch entry.kind {
      case .tree(let file, let access, _):
        steps.append(
          .attach(slot: slot, path: path, access: access, isDirectory: file.isDirectory))
        slot += 1
      case .tmpfs(let size, let mode): steps.append(.tmpfs(path: path, size: size, mode: mode))
      case .folder: steps.append(.directory(path: path, mode: 0o755))
      case .file(let contents): steps.append(.file(path: path, mode: 0o644, contents: contents))
      case .link(let target): steps.append(.symlink(path: path, target: target))
      case .proc(let options): steps.append(.proc(path: path, options: options))
      case .devpts: steps.append(.devpts(path: path))
      case .hidden(let isDirectory): steps.append(.mask(path: path, isDirectory: isDirectory))
      case .emptied: steps.append(.tmpfs(path: path, size: 65536, mode: 0o555))
      }
    }
    // A cover that has something writable below it stays a mount that can be written: Landlock
    // grants nothing there.
    for entry in entries {
      if case .emptied = entry.kind, !hasWritable(below: entry.path) {
        steps.append(.readOnly(path: entry.path))
      }
    }
    return steps
  }

  private func hasWritable(below path: String) -> Bool {
    entries.contains { PolicyPath.isBelow($0.path, path) && $0.isWritable }
  }

  /// The steps after which code that the worker writes cannot be executed, as far as files go: the filter sees to memory.
  var stepsAgainstOwnCode: [Step] {
    var steps: [Step] = []
    for entry in entries {
      if entry.isWritable { steps.append(.noExecution(path: entry.path)) }
      // Through /proc/self/mem a process may write what it may only execute.
      if case .proc = entry.kind { steps.append(.readOnly(path: entry.path)) }
    }
    return steps
  }

  /// Landlock's rules, a second wall around what the mounts show.
  func landlockRules(abi: Int, _ denials: Denials) throws(SandboxError) -> [LandlockRule] {
    let known = LandlockRights.known(abi)
    var rules: [LandlockRule] = []
    func grant(
      _ path: String, _ rights: LandlockRights, isDirectory: Bool = true, ifThere: Bool = false
    ) {
      var rights = rights.intersection(known)
      if !isDirectory { rights.formIntersection(.ofFiles) }
      rules.append(LandlockRule(path: path, access: rights.rawValue, ifThere: ifThere))
    }
    let splitsEtc = denials.hasAny(below: "/etc")
    // Names of folders are no secret inside: those on the way to what is shown are made here.
    grant("/", .readFolder)
    if makesFolder("/etc") && !splitsEtc { grant("/etc", [.readFile, .readFolder]) }
    grant("/dev", .devices)
    for entry in entries {
      switch entry.kind {
      case .tree(let file, let access, _):
        if access.contains(.devices) || isPlainEtc(entry) && !splitsEtc { continue }
        let rights: LandlockRights = access.contains(.write) ? .writeShared : .read
        if !denials.hasAny(below: entry.path) {
          grant(entry.path, rights, isDirectory: file.isDirectory)
          continue
        }
        // Of the folders between them the names alone, as of every folder.
        for (path, isDirectory) in try denials.beside(in: entry.path, of: self) {
          grant(path, rights, isDirectory: isDirectory, ifThere: true)
        }
      case .file where splitsEtc && PolicyPath.isBelow(entry.path, "/etc"):
        grant(entry.path, .readFile, isDirectory: false)
      case .tmpfs: grant(entry.path, .write)
      case .proc: grant(entry.path, [.readFile, .writeFile, .readFolder, .truncate])
      default: break
      }
    }
    return rules
  }

  private func isPlainEtc(_ entry: ViewEntry) -> Bool {
    !entry.isNamed && PolicyPath.isBelow(entry.path, "/etc")
  }
}
