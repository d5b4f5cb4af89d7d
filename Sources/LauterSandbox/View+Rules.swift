// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What the policy's own words and the launch bring into the view.
extension View {
  /// The policy's rules. Every path is resolved once, here.
  mutating func add(rulesOf policy: Policy, _ identity: Identity) throws(SandboxError) {
    var links: [(name: String, target: String)] = []
    for rule in policy.rules {
      let word =
        switch rule.access {
        case .read: "read"
        case .write: "write"
        case .deny: "deny"
        }
      let file = try HostFile.named(rule.path, by: word)
      switch rule.access {
      case .read: try add(file, [], mapped: identity.isForeign && !file.isSharedFile, word)
      case .write: try add(file, .write, mapped: identity.isForeign, word)
      case .deny: put(file.path, .hidden(isDirectory: file.isDirectory), named: true)
      }
      if rule.access != .deny, !PolicyPath.same(file.path, rule.path) {
        links.append((rule.path, file.path))
      }
    }
    if case .folder(let path) = policy.home {
      let file = try HostFile.named(path, by: "home")
      guard file.isDirectory else {
        throw SandboxError(.invalid, subject: path, message: "home \(path): not a folder")
      }
      let isNamed = policy.rules.contains { PolicyPath.same($0.path, path) }
      if !isNamed { try add(file, .write, mapped: identity.isForeign, "home") }
      if !PolicyPath.same(file.path, path) { links.append((path, file.path)) }
    }
    // Last, so that a name inside another tree is seen to be there already.
    for link in links { addLink(link.name, to: link.target) }
  }

  private mutating func add(
    _ file: HostFile, _ access: TreeAccess, mapped: Bool, _ word: String
  ) throws(SandboxError) {
    // The name was checked as text; what it links to is checked here.
    for reserved in ["/proc", "/dev"] where PolicyPath.isWithin(file.path, reserved) {
      throw SandboxError(
        .invalid, subject: file.path,
        message: "\(word) \(file.path): a worker has a \(reserved) of its own")
    }
    if PolicyPath.same(file.path, "/") {
      throw SandboxError(
        .invalid, subject: "/", message: "\(word) /: the whole file system is not taken")
    }
    put(file.path, .tree(file, access, mapped: mapped), named: true)
  }

  /// A symbolic link, unless it would lie in a tree or below another link, which shows it already.
  mutating func addLink(_ path: String, to target: String) {
    switch decider(for: path)?.kind {
    case .tree, .link: return
    default: put(path, .link(target))
    }
  }

  /// A folder or file of the runtime's, readable unless it is already.
  mutating func add(runtime file: HostFile, _ identity: Identity) {
    if case .tree? = decider(for: file.path)?.kind { return }
    // Installations are for everybody to read; mapping one that is costs a user namespace for
    // nothing.
    let mapped = identity.isForeign && !file.isOpenToAll
    put(file.path, .tree(file, [], mapped: mapped))
  }
}
