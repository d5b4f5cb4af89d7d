// SPDX-License-Identifier: Apache-2.0

extension Policy {
  /// Whether the policy allows something: nil, or why not and what would allow it.
  ///
  /// Asked of the policy's words alone: the runtime's own folders are readable besides, and what
  /// the machine's permissions refuse is refused still.
  package func check(_ word: String, _ value: String) throws(PolicyError) -> String? {
    if value.utf8.contains(0) {
      throw PolicyError(subject: word, message: "\(word): the value holds a NUL byte")
    }
    switch word {
    case "read", "write":
      let path = try PolicyPath.normalise(value, for: word)
      return checkPath(path, writing: word == "write")
    case "net":
      guard !value.isEmpty else {
        throw PolicyError(
          subject: word, message: "net: an address is missing, such as 127.0.0.1:80")
      }
      return checkNetwork(value)
    case "run":
      guard !value.isEmpty else {
        throw PolicyError(subject: word, message: "run: a program is missing")
      }
      if !runsPrograms { return "outside the policy; allow it with --run any" }
      guard value.utf8.first == UInt8(ascii: "/") else { return nil }
      return checkPath(try PolicyPath.normalise(value, for: word), writing: false)
    default:
      let hint = PolicyAmount.suggestion(for: word, among: ["read", "write", "net", "run"])
      throw PolicyError(subject: word, message: "'\(word)' cannot be checked; \(hint)")
    }
  }

  /// The rule that decides about `path`, which is normalised: the most specific one that names it
  /// or a folder above it.
  package func rule(for path: String) -> Rule? {
    var best: Rule?
    for rule in rules where PolicyPath.isWithin(path, rule.path) {
      if best == nil || rule.path.utf8.count > best!.path.utf8.count { best = rule }
    }
    return best
  }

  private func checkPath(_ path: String, writing: Bool) -> String? {
    if !isConfined { return nil }
    if PolicyPath.isWithin(path, "/proc") { return checkProc(path, writing: writing) }
    let rule = rule(for: path)
    // /tmp and the home are rules that the words `tmp` and `home` make; a longer path of the
    // policy's decides over them.
    let depth = rule?.path.utf8.count ?? 0
    var ownFolders = ["/tmp", "/dev/shm"]
    if let home = homePath { ownFolders.append(home) }
    for folder in ownFolders where PolicyPath.isWithin(path, folder) && folder.utf8.count > depth {
      return nil
    }
    let quoted = PolicyPath.quoted(path)
    guard let rule else {
      if SystemView.shows(path, network: network) {
        if !writing || PolicyPath.isWithin(path, "/dev") { return nil }
        return "read-only under the policy; allow it with --write \(quoted)"
      }
      return "outside the policy; allow it with --\(writing ? "write" : "read") \(quoted)"
    }
    switch rule.access {
    case .write: return nil
    case .deny: return "denied by the policy (deny \(rule.path))"
    case .read:
      if !writing { return nil }
      return "read-only under the policy (read \(rule.path)); allow it with --write \(quoted)"
    }
  }

  /// No word changes what a worker's /proc shows.
  private func checkProc(_ path: String, writing: Bool) -> String? {
    var names = path.utf8.dropFirst("/proc/".utf8.count).split(separator: UInt8(ascii: "/"))[...]
    guard let first = names.popFirst() else { return nil }
    let isProcess =
      first.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      || first.elementsEqual("self".utf8) || first.elementsEqual("thread-self".utf8)
    if preset == .strict && !nests && (!isProcess || first.elementsEqual("1".utf8)) {
      return "hidden: a strict worker's /proc has its own processes alone"
    }
    if first.elementsEqual("1".utf8) {
      let isOpen = names.first.map { name in
        !SystemView.procOfInit.contains { name.elementsEqual($0.utf8) }
      }
      if writing || isOpen == false { return "closed: it is init's, which guards the worker" }
    } else if !isProcess {
      if writing { return "read-only: no worker changes what is not its own in /proc" }
      if !nests && SystemView.procCovered.contains(where: { first.elementsEqual($0.utf8) }) {
        return "hidden: every worker's /proc has it covered"
      }
    }
    return nil
  }

  private func checkNetwork(_ address: String) -> String? {
    let isLoopback = Policy.isLoopback(address)
    switch network {
    case .host: return nil
    case .own: return isLoopback ? nil : "outside the policy; allow it with --net host"
    case .none: return "outside the policy; allow it with --net \(isLoopback ? "private" : "host")"
    }
  }

  /// Whether `address` (a host or a host with a port, IPv6 in brackets or alone) is of the
  /// loopback. Names are not looked up.
  private static func isLoopback(_ address: String) -> Bool {
    var host = Array(address.utf8)
    if host.first == UInt8(ascii: "[") {
      guard let end = host.firstIndex(of: UInt8(ascii: "]")) else { return false }
      host = Array(host[1..<end])
    } else if host.filter({ $0 == UInt8(ascii: ":") }).count == 1 {
      host = Array(host[..<host.firstIndex(of: UInt8(ascii: ":"))!])
    }
    for name in ["localhost", "::1", "0.0.0.0", "::", "ip6-localhost"]
    where host.elementsEqual(name.utf8) {
      return true
    }
    // 127.0.0.0/8, as numbers: "127.evil.example" is a name.
    let parts = host.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0].elementsEqual("127".utf8) else { return false }
    return parts.allSatisfy { part in
      (1...3).contains(part.count)
        && part.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
  }
}
