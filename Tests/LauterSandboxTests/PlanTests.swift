// SPDX-License-Identifier: Apache-2.0

import Glibc
import LauterPlan
import LauterPolicy
import Testing

@testable import LauterSandbox

/// A machine as an ordinary user has it.
func ordinaryOffer() -> KernelOffer {
  var offer = KernelOffer()
  offer.landlock = 7
  offer.mapsUsers = false
  offer.uid = 1234
  offer.gid = 1235
  offer.isMachineRoot = false
  offer.hasGroups = false
  offer.openFilesSoft = 1024
  offer.openFilesHard = 524_288
  offer.obstacle = nil
  return offer
}

/// Prepare, with words for the policy and properties for the launch.
func prepare(
  _ preset: String = "notebook", _ words: [(String, String)] = [],
  kind: String = "program", _ properties: [(String, String)] = [("argument", "/bin/sh")],
  offer: KernelOffer = ordinaryOffer(), searchPath: String? = nil, home: String? = nil,
  runtime: String = "/usr"
) throws(SandboxError) -> Preparation {
  var policy: Policy
  var launch: Launch
  do throws(PolicyError) {
    policy = try Policy(preset: preset)
    for (word, value) in words { try policy.set(word, value) { _ in nil } }
    launch = try Launch(kind: kind)
    for (property, value) in properties { try launch.set(property, value) }
  } catch {
    preconditionFailure(error.message)
  }
  if let searchPath { launch.searchPath = searchPath }
  launch.callerHome = home
  return try SandboxCompiler(offer: offer).prepare(
    policy, launch, runtimeDirectory: runtime, ordinal: 0)
}

/// The error of what must not be prepared.
func refusal(_ body: () throws(SandboxError) -> Preparation) -> SandboxError? {
  do throws(SandboxError) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

extension Preparation {
  var lines: [String] { plan.steps.map { describe($0) } }
  var execution: Execution {
    guard case .execute(let execution)? = plan.steps.last else { preconditionFailure() }
    return execution
  }
  /// The line for `path` among those that build the view.
  func line(for path: String) -> String? {
    lines.first { line in
      let words = line.split { $0 == " " || $0 == "," }
      return words.count > 1 && words[0] != "open" && words[1] == path[...]
    }
  }
}

@Suite struct PlanTests {
  @Test func `a plan goes through its stages in the order that the kernel forces`() throws {
    let steps = try prepare().plan.steps
    func index(_ isIt: (Step) -> Bool) throws -> Int {
      let found = steps.firstIndex(where: isIt)
      return try #require(found)
    }
    let opened = try #require(
      steps.lastIndex { if case .openTree = $0 { true } else { false } })
    let identity = try index { if case .identity = $0 { true } else { false } }
    let root = try index { if case .newRoot = $0 { true } else { false } }
    let attached = try index { if case .attach = $0 { true } else { false } }
    let entered = try index { $0 == .enterRoot }
    let dropped = try index { if case .dropPrivilege = $0 { true } else { false } }
    let limited = try index { if case .limit = $0 { true } else { false } }
    let landlocked = try index { if case .landlock = $0 { true } else { false } }
    let filtered = try index { if case .seccomp = $0 { true } else { false } }
    #expect(steps.first == .privateMounts)
    // Sources are opened while init may still look everywhere; a tmpfs belongs to who mounts it.
    #expect(opened < identity && identity < root && root < attached && attached < entered)
    #expect(entered < dropped && dropped < limited && limited < landlocked)
    #expect(landlocked < filtered && filtered == steps.count - 2)
  }

  @Test func `an ordinary user's worker keeps its id and its namespaces are its own`() throws {
    let preparation = try prepare()
    #expect(preparation.uidMap == "1234 1234 1\n" && preparation.gidMap == "1235 1235 1\n")
    #expect(preparation.denySetgroups && preparation.keepCapabilities)
    #expect(preparation.namespaces == 0x7E02_0000)
    #expect(preparation.trees.isEmpty && preparation.missing.isEmpty)
    #expect(
      preparation.plan.steps.contains(.identity(uid: 1234, gid: 1235, dropGroups: false)))
  }

  @Test func `root's workers have ids of their own, one another's least of all`() {
    var offer = ordinaryOffer()
    offer.mapsUsers = true
    offer.firstUser = 0x4000_0000
    offer.userCount = 0x4000_0000
    var seen: Set<UInt32> = []
    for process: UInt32 in [1, 2, 0x3F_FFFF] {
      for ordinal: UInt32 in 0..<256 {
        let identity = Identity(offer, process: process, ordinal: ordinal)
        #expect(identity.isForeign && identity.insideUser == 1000)
        #expect((0x4000_0000..<0x8000_0000).contains(identity.outsideUser))
        seen.insert(identity.outsideUser)
      }
    }
    #expect(seen.count == 3 * 256)
  }

  @Test func `the network is the policy's`() throws {
    let network: UInt64 = 0x4000_0000
    let own = try prepare("notebook", [("net", "private")])
    #expect(own.namespaces & network != 0 && own.plan.steps.contains(.loopback))
    let none = try prepare("notebook", [("net", "none")])
    #expect(none.namespaces & network != 0 && !none.plan.steps.contains(.loopback))
    let host = try prepare("notebook", [("net", "host")])
    #expect(host.namespaces & network == 0 && !host.plan.steps.contains(.loopback))
    #expect(host.line(for: "/etc/resolv.conf") != nil)
    #expect(own.line(for: "/etc/resolv.conf") == nil)
  }

  @Test func `limits become the kernel's`() throws {
    let words = [
      ("limit", "memory=100M"), ("limit", "processes=9"), ("limit", "wall=2s"),
      ("limit", "cpu=1500ms"), ("limit", "file-size=1K"), ("limit", "open-files=100"),
    ]
    let preparation = try prepare("notebook", words)
    #expect(preparation.lines.contains("limit data to 104857600"))
    // With init, which counts as well.
    #expect(preparation.lines.contains("limit processes to 10"))
    #expect(preparation.lines.contains("limit core to 1"))
    #expect(preparation.execution.wallMilliseconds == 2000)
    #expect(preparation.execution.cpuMilliseconds == 1500)
    // Behind init's count: a second later, and death another second later.
    #expect(preparation.lines.contains("limit CPU seconds of each process to 3, at most 4"))
    #expect(preparation.lines.contains("limit file size to 1024"))
    #expect(preparation.lines.contains("limit open files to 100"))
    let lifted = try prepare(
      "notebook", [("limit", "memory=none"), ("limit", "processes=none")])
    #expect(!lifted.lines.contains { $0.hasPrefix("limit data") || $0.hasPrefix("limit proc") })
  }

  @Test func `a worker that shares its host's user has fewer descriptors than the host`() throws {
    var offer = ordinaryOffer()
    offer.openFilesSoft = 400
    #expect(try prepare(offer: offer).lines.contains("limit open files to 300"))
    offer.openFilesSoft = 1_000_000
    #expect(try prepare(offer: offer).lines.contains("limit open files to 1024, at most 4096"))
  }

  @Test func `strict narrows what notebook leaves`() throws {
    let notebook = try prepare("notebook")
    let strict = try prepare("strict")
    #expect(notebook.execution.pass == 0 && strict.execution.pass != 0)
    #expect(notebook.line(for: "/proc") == "mount /proc masked")
    #expect(strict.line(for: "/proc") == "mount /proc subset=pid,hidepid=invisible")
    #expect(notebook.line(for: "/home/worker") != nil && strict.line(for: "/home/worker") == nil)
    #expect(strict.line(for: "/dev/shm") == "link /dev/shm to /tmp")
    #expect(strict.execution.directory == "/" && notebook.execution.directory == "/home/worker")
  }

  @Test func `every launch has a pass of its own`() throws {
    #expect(try prepare("strict").execution.pass != prepare("strict").execution.pass)
  }

  @Test func `unconfined is a process tree and nothing more`() throws {
    let ordinary = try prepare("unconfined", home: "/usr")
    #expect(
      ordinary.lines == [
        "make mounts private", "mount /proc",
        "drop all privilege (capabilities 0 to \(ordinaryOffer().lastCapability))",
        "limit core to 1", "execute /bin/sh",
      ])
    #expect(ordinary.namespaces == 0x3002_0000)
    #expect(ordinary.execution.directory == "/usr")
    var offer = ordinaryOffer()
    offer.mapsUsers = true
    let root = try prepare("unconfined", offer: offer)
    #expect(root.namespaces == 0x2002_0000 && root.uidMap == nil && !root.keepCapabilities)
  }

  @Test func `without Landlock the mounts stand alone`() throws {
    var offer = ordinaryOffer()
    offer.landlock = 0
    #expect(!(try prepare(offer: offer).lines.contains { $0.hasPrefix("landlock") }))
  }

  @Test func `a network whose abstract sockets nothing keeps apart is told`() throws {
    var offer = ordinaryOffer()
    let host = [("net", "host")]
    offer.landlock = 6
    #expect(try prepare("notebook", host, offer: offer).missing.isEmpty)
    offer.landlock = 5
    #expect(try prepare("notebook", host, offer: offer).missing == ["abstract-sockets"])
    // A namespace does.
    #expect(try prepare(offer: offer).missing.isEmpty)
  }

  @Test func `what the kernel cannot count is an error, or is told`() throws {
    var offer = ordinaryOffer()
    offer.isMachineRoot = true
    let error = refusal { () throws(SandboxError) in
      try prepare("unconfined", [("limit", "processes=5")], offer: offer)
    }
    #expect(error?.kind == .unsupported && error?.subject == "limit processes")
    let passed = try prepare(
      "unconfined", [("limit", "processes=5"), ("allow-missing", "limit")], offer: offer)
    #expect(passed.missing == ["limit"])
    offer = ordinaryOffer()
    offer.hasGroups = true
    #expect(try prepare(offer: offer).missing == ["groups"])
  }

  @Test func `a machine without user namespaces is told with the remedy`() {
    var offer = ordinaryOffer()
    offer.obstacle = Diagnosis("switched off", "switch them on")
    let error = refusal { () throws(SandboxError) in try prepare(offer: offer) }
    #expect(
      error?.kind == .unsupported
        && error?.message.hasPrefix("switched off; switch them on; or do without") == true)
  }

  @Test func `the environment is clean but for what the policy sets`() throws {
    setenv("LAUTER_TEST_SECRET", "1", 1)
    #expect(getenv("LAUTER_TEST_SECRET") != nil)
    let plain = try prepare().execution.environment
    #expect(
      plain == [
        "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/worker", "LANG=C.UTF-8", "USER=worker",
        "LOGNAME=worker",
      ])
    let set = try prepare("notebook", [("env", "LANG=de_DE.UTF-8"), ("env", "X=a=b")]).execution
    #expect(set.environment.filter { $0.hasPrefix("LANG=") } == ["LANG=de_DE.UTF-8"])
    #expect(set.environment.contains("X=a=b"))
  }

  @Test func `only programs that serve calls are handed the session`() throws {
    let program = try prepare().execution
    #expect(!program.hasSession && !program.ignoresInterrupt)
    let worker = try prepare(kind: "worker").execution
    #expect(worker.hasSession && worker.ignoresInterrupt)
  }

  @Test func `a plan survives its way to init`() throws {
    let plan = try prepare("strict", [("read", "/usr/share")]).plan
    #expect(try Plan(decoding: plan.encoded()) == plan)
  }

  @Test func `one filter is built for policies that agree about it`() throws {
    let compiler = SandboxCompiler(offer: ordinaryOffer())
    func filter(_ words: [(String, String)]) throws -> [UInt8] {
      var policy = try Policy(preset: "notebook")
      for (word, value) in words { try policy.set(word, value) { _ in nil } }
      var launch = try Launch(kind: "program")
      try launch.set("argument", "/bin/sh")
      let plan = try compiler.prepare(policy, launch, runtimeDirectory: "/", ordinal: 0).plan
      for case .seccomp(let program) in plan.steps { return program }
      return []
    }
    let first = try filter([])
    #expect(first.count > 800)
    #expect(try filter([("limit", "memory=1G"), ("net", "host")]) == first)
    #expect(try filter([("net", "none")]) != first)
  }
}
