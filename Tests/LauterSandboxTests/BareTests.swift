// SPDX-License-Identifier: Apache-2.0

import Glibc
import LauterPlan
import LauterPolicy
import Testing

@testable import LauterSandbox

@Suite struct BareTests {
  /// A machine where user namespaces are switched off.
  private func hindered(landlock: Int = 7) -> KernelOffer {
    var offer = ordinaryOffer()
    offer.obstacle = .switchedOff(.user)
    offer.landlock = landlock
    return offer
  }

  private func bare(
    _ preset: String = "notebook", _ words: [(String, String)] = [], landlock: Int = 7
  ) throws(SandboxError) -> Preparation {
    try prepare(
      preset, words + [("allow-missing", "namespaces")], offer: hindered(landlock: landlock))
  }

  private func rules(_ preparation: Preparation) throws -> [String: LandlockRule] {
    for case .landlock(_, _, _, let rules) in preparation.plan.steps {
      return Dictionary(rules.map { ($0.path, $0) }) { first, _ in first }
    }
    throw SandboxError(.invalid, subject: "", message: "no Landlock")
  }

  @Test func `without the word the error names cause, remedy and word`() {
    let error = refusal { () throws(SandboxError) in try prepare(offer: hindered()) }
    #expect(error?.kind == .unsupported)
    for part in ["user.max_user_namespaces is 0", "sysctl", "--allow-missing namespaces"] {
      #expect(error?.message.contains(part) == true, "\(part)")
    }
  }

  @Test func `the word is not offered, nor taken, where Landlock keeps no signal within`() {
    for abi in [0, 5] {
      let plain = refusal { () throws(SandboxError) in try prepare(offer: hindered(landlock: abi)) }
      #expect(plain?.message.contains("allow-missing") == false)
      let told = refusal { () throws(SandboxError) in try bare(landlock: abi) }
      #expect(told?.kind == .unsupported)
      #expect(told?.message.contains("Linux 6.12") == true)
    }
  }

  @Test func `the plan has no namespace, no mount, and a guard before anything of the worker's`()
    throws
  {
    let preparation = try bare()
    #expect(preparation.namespaces == 0)
    #expect(preparation.uidMap == nil)
    #expect(preparation.missing == ["namespaces", "tmp", "net"])
    let kinds = preparation.lines
    for word in ["mount", "attach", "root", "tmpfs"] {
      #expect(!kinds.contains { $0.hasPrefix(word) }, "\(word)")
    }
    let steps = preparation.plan.steps
    let dropped = try #require(steps.firstIndex(of: .dropCapabilities))
    let counted = try #require(steps.firstIndex(of: .processes(count: 256)))
    let guarded = try #require(steps.firstIndex(of: .guarded))
    #expect(dropped < counted && counted < guarded)
    for case .limit(let resource, _, _) in steps { #expect(resource != 6) }
  }

  @Test func `home and TMPDIR are a folder of the worker's own`() throws {
    let preparation = try bare()
    guard
      case .scratch(let base, let number, let hasHome)? = preparation.plan.steps.first(where: {
        if case .scratch = $0 { true } else { false }
      })
    else {
      Issue.record("no folder")
      return
    }
    #expect(hasHome && base == "/tmp")
    let folder = scratchPath(base, number)
    #expect(folder.utf8.count == "/tmp/lauter-".utf8.count + 16)
    #expect(preparation.execution.environment.contains("TMPDIR=\(folder)/tmp"))
    #expect(preparation.execution.environment.contains("HOME=\(folder)/home"))
    #expect(preparation.execution.directory == folder + "/home")
    #expect(try rules(preparation)[folder + "/tmp"]?.access == LandlockRights.write.rawValue)
    #expect(try rules(preparation)[folder] == nil)
    #expect(try rules(preparation)["/tmp"] == nil)
    // Two workers have two.
    #expect(try bare().execution.environment != preparation.execution.environment)
  }

  @Test func `Landlock grants what the view has and nothing around it`() throws {
    let rules = try rules(try bare())
    #expect(rules["/usr"]?.access == LandlockRights.read.rawValue)
    #expect(rules["/usr"]?.inode != 0)
    for path in ["/", "/dev", "/etc", "/proc", "/etc/passwd", "/etc/machine-id"] {
      #expect(rules[path] == nil, "\(path)")
    }
    #expect(rules["/dev/null"] != nil && rules["/proc/self"] != nil)
    #expect(try self.rules(try bare("strict"))["/proc/cpuinfo"] == nil)
  }

  @Test func `what is readable below a writable folder cannot be written`() throws {
    let folder = TemporaryFolder()
    for name in ["read", "other"] { _ = folder.folder(name) }
    let words = [("write", folder.path), ("read", folder.path + "/read")]
    let rules = try rules(try bare("notebook", words))
    #expect(rules[folder.path] == nil)
    #expect(rules[folder.path + "/read"]?.access == LandlockRights.read.rawValue)
    #expect(rules[folder.path + "/other"]?.access == LandlockRights.writeShared.rawValue)
  }

  @Test func `what cannot be had without namespaces is an error`() throws {
    let jit = refusal { () throws(SandboxError) in try bare("notebook", [("jit", "none")]) }
    #expect(jit?.message.contains("--allow-missing jit") == true)
    let tolerant = try bare("notebook", [("jit", "none"), ("allow-missing", "jit")])
    #expect(tolerant.missing.contains("jit"))
  }
}
