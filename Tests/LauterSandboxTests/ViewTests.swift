// SPDX-License-Identifier: Apache-2.0

import Glibc
import LauterPlan
import LauterPolicy
import Testing

@testable import LauterSandbox

@Suite struct ViewTests {
  @Test func `trees come in the order of their paths, under the rights that were asked`() throws {
    let folder = TemporaryFolder()
    let data = folder.folder("data")
    let out = folder.folder("data/out")
    let preparation = try prepare("notebook", [("write", out), ("read", data)])
    let lines = preparation.lines
    let read = try #require(lines.firstIndex(of: "attach \(data) read-only"))
    let write = try #require(lines.firstIndex(of: "attach \(out) writable"))
    #expect(read < write)
    // Below /tmp, so after the worker's own /tmp.
    let own = try #require(lines.firstIndex { $0.hasPrefix("tmpfs /tmp ") })
    #expect(own < read)
  }

  @Test func `what is open is what was resolved`() throws {
    let folder = TemporaryFolder()
    let file = folder.file("data/x")
    var status = stat()
    #expect(stat(file, &status) == 0)
    let opened = try prepare("notebook", [("read", file)]).plan.steps.compactMap {
      if case .openTree(_, let path, let device, let inode) = $0, path == file {
        return [UInt64(device), UInt64(inode)]
      }
      return nil
    }
    #expect(opened == [[UInt64(status.st_dev), UInt64(status.st_ino)]])
  }

  @Test func `a denied path is covered, and what is granted below it shown`() throws {
    let folder = TemporaryFolder()
    let data = folder.folder("data")
    let secret = folder.folder("data/secret")
    let key = folder.file("data/key")
    let shown = folder.folder("data/secret/shown")
    let tolerant = ("allow-missing", "deny")
    let plain = try prepare(
      "notebook", [("read", data), ("deny", secret), ("deny", key), tolerant])
    #expect(plain.line(for: secret) == "cover \(secret)")
    #expect(plain.line(for: key) == "cover \(key)")
    let open = try prepare(
      "notebook", [("read", data), ("deny", secret), ("read", shown), tolerant])
    let lines = open.lines
    let cover = try #require(lines.firstIndex { $0.hasPrefix("tmpfs \(secret) ") })
    let attached = try #require(lines.firstIndex(of: "attach \(shown) read-only"))
    let closed = try #require(lines.firstIndex(of: "make \(secret) read-only"))
    #expect(cover < attached && attached < closed)
  }

  @Test func `a cover that holds something writable is kept by Landlock`() throws {
    let folder = TemporaryFolder()
    let data = folder.folder("data")
    let secret = folder.folder("data/secret")
    let out = folder.folder("data/secret/out")
    let preparation = try prepare(
      "notebook", [("read", data), ("deny", secret), ("write", out), ("allow-missing", "deny")])
    #expect(!preparation.lines.contains("make \(secret) read-only"))
    for case .landlock(_, _, _, let rules) in preparation.plan.steps {
      #expect(rules.contains { $0.path == out })
      #expect(!rules.contains { $0.path == secret })
    }
  }

  @Test func `beside a denied path Landlock grants what is there, and not the folder`() throws {
    var granted: [String: LandlockRule] = [:]
    let preparation = try prepare("notebook", [("deny", "/usr/share/doc")])
    for case .landlock(_, _, _, let rules) in preparation.plan.steps {
      for rule in rules { granted[rule.path] = rule }
    }
    #expect(preparation.missing.isEmpty)
    #expect(granted["/usr"] == nil && granted["/usr/share"] == nil)
    #expect(granted["/usr/share/doc"] == nil)
    for path in ["/usr/bin", "/usr/lib", "/usr/share/zoneinfo"] {
      #expect(granted[path] == LandlockRule(path: path, access: 0b1101, ifThere: true), "\(path)")
    }
    // Where nothing is denied, the tree as a whole, which has to be there.
    for case .landlock(_, _, _, let rules) in try prepare().plan.steps {
      #expect(rules.contains(LandlockRule(path: "/usr", access: 0b1101)))
    }
  }

  @Test func `beside a denied path of etc each file is granted by itself`() throws {
    let words = [("read", "/etc/apt"), ("deny", "/etc/apt/trusted.gpg.d")]
    for case .landlock(_, _, _, let rules) in try prepare("notebook", words).plan.steps {
      #expect(!rules.contains { words.map { $0.1 }.contains($0.path) || $0.path == "/etc" })
      #expect(rules.contains(LandlockRule(path: "/etc/hosts", access: 0b100)))
    }
  }

  @Test func `an older Landlock's denial in a writable folder costs truncation by a path`() throws {
    func filter(_ word: String, _ abi: Int) throws -> [UInt8] {
      var offer = ordinaryOffer()
      offer.landlock = abi
      // Not below /tmp, which is memory of the worker's own.
      let words = [(word, "/usr/share"), ("deny", "/usr/share/doc")]
      for case .seccomp(let program) in try prepare("notebook", words, offer: offer).plan.steps {
        return program
      }
      return []
    }
    #expect(try filter("write", 2) != filter("write", 3))
    #expect(try filter("read", 2) == filter("write", 3))
  }

  @Test func `a denial that nothing keeps is an error, or told`() throws {
    var offer = ordinaryOffer()
    offer.landlock = 0
    let words = [("deny", "/usr/share/doc")]
    let error = refusal { () throws(SandboxError) in
      try prepare("notebook", words, offer: offer)
    }
    #expect(error?.kind == .unsupported && error?.subject == "/usr/share/doc")
    let tolerant = words + [("allow-missing", "deny")]
    let preparation = try prepare("notebook", tolerant, offer: offer)
    #expect(preparation.missing == ["deny", "landlock"])
    // Where it can be kept it is, whatever may be missing, unless that has a price.
    #expect(try prepare("notebook", tolerant).missing.isEmpty)
    // Below the worker's own memory, where it may make files.
    let folder = TemporaryFolder()
    let file = folder.file("secret")
    let below = [("read", folder.path), ("deny", file)]
    let refused = refusal { () throws(SandboxError) in try prepare("notebook", below) }
    #expect(refused?.kind == .unsupported && refused?.subject == file)
    #expect(try prepare("notebook", below + [("allow-missing", "deny")]).missing == ["deny"])
  }

  @Test func `what is not shown need not be covered`() throws {
    let folder = TemporaryFolder()
    let secret = folder.folder("secret")
    #expect(try prepare("notebook", [("deny", secret)]).line(for: secret) == nil)
  }

  @Test func `a name that is a link shows its target under both names`() throws {
    let folder = TemporaryFolder()
    let data = folder.folder("data")
    let name = folder.link("name", to: "data")
    let preparation = try prepare("notebook", [("read", name)])
    #expect(preparation.line(for: data) == "attach \(data) read-only")
    #expect(preparation.line(for: name) == "link \(name) to \(data)")
    // Where a tree shows the link, none is made.
    let whole = try prepare("notebook", [("read", folder.path), ("read", name)])
    #expect(whole.line(for: name) == nil)
  }

  @Test(arguments: ["read", "write", "deny", "home"])
  func `a missing path is an error that names it`(word: String) {
    let error = refusal { () throws(SandboxError) in
      try prepare("notebook", [(word, "/nonexistent/x")])
    }
    #expect(error?.kind == .notFound && error?.subject == "/nonexistent/x")
    #expect(error?.message == "\(word) /nonexistent/x: no such file or folder")
  }

  @Test func `a link into /proc is not a way to have the machine's`() {
    let folder = TemporaryFolder()
    let name = folder.link("name", to: "/proc/self/fd")
    let error = refusal { () throws(SandboxError) in try prepare("notebook", [("read", name)]) }
    #expect(error?.kind == .invalid)
  }

  @Test func `a home of the machine is writable and the worker's HOME`() throws {
    let folder = TemporaryFolder()
    let home = folder.folder("home")
    let preparation = try prepare("notebook", [("home", home)])
    #expect(preparation.line(for: home) == "attach \(home) writable")
    #expect(preparation.execution.environment.contains("HOME=\(home)"))
    #expect(preparation.execution.directory == home)
    #expect(preparation.line(for: "/home/worker") == nil)
    let file = folder.file("file")
    let error = refusal { () throws(SandboxError) in try prepare("notebook", [("home", file)]) }
    #expect(error?.message == "home \(file): not a folder")
  }

  @Test func `of the machine's accounts and secrets nothing is shown`() throws {
    let preparation = try prepare()
    #expect(access("/etc/passwd", F_OK) == 0)
    for path in ["/etc/shadow", "/etc/ssh", "/etc/ssl", "/root", "/home", "/var/lib", "/sys"] {
      let attached = preparation.lines.contains { $0.hasPrefix("attach \(path) ") }
      #expect(!attached, "\(path)")
    }
    let steps = preparation.plan.steps
    let passwd = steps.compactMap { step -> String? in
      if case .file("/etc/passwd", _, let contents) = step {
        return String(decoding: contents, as: UTF8.self)
      }
      return nil
    }
    #expect(
      passwd == [
        "root:x:0:0:root:/:/usr/sbin/nologin\nworker:x:1234:1235:worker:/home/worker:/bin/sh\n"
          + "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
      ])
  }

  @Test func `Landlock grants what the view shows and no more`() throws {
    let folder = TemporaryFolder()
    let data = folder.folder("data")
    let file = folder.file("file")
    let out = folder.folder("out")
    let preparation = try prepare("notebook", [("read", data), ("read", file), ("write", out)])
    var granted: [String: UInt64] = [:]
    for case .landlock(let handled, _, let scope, let rules) in preparation.plan.steps {
      #expect(handled == 0xFFFF && scope == 3)
      for rule in rules { granted[rule.path] = rule.access }
    }
    #expect(granted["/usr"] == 0b1101 && granted[data] == 0b1101)
    // No right over folders on a file: the kernel refuses such a rule.
    #expect(granted[file] == 0b0101)
    // No devices and no FIFOs in what is the host's.
    #expect(granted[out] == 0x73BF && granted["/tmp"] == 0x7FFF)
    #expect(granted["/"] == 0b1000)
    #expect(granted["/home"] == nil)
  }

  @Test func `an older Landlock is asked for what it knows`() throws {
    for (abi, handled, scope): (Int, UInt64, UInt64) in [
      (1, 0x1FFF, 0), (2, 0x3FFF, 0), (3, 0x7FFF, 0), (4, 0x7FFF, 0), (5, 0xFFFF, 0),
      (6, 0xFFFF, 3),
    ] {
      var offer = ordinaryOffer()
      offer.landlock = abi
      for case .landlock(let filesystem, _, let scoped, let rules) in try prepare(offer: offer).plan
        .steps
      {
        #expect(filesystem == handled && scoped == scope)
        #expect(rules.allSatisfy { $0.access & ~handled == 0 && $0.access != 0 })
      }
    }
  }

  @Test func `the working directory lies in the view`() throws {
    let folder = TemporaryFolder()
    let data = folder.folder("data/sub")
    func launch(_ directory: String) -> [(String, String)] {
      [("argument", "/bin/sh"), ("directory", directory)]
    }
    let shown = try prepare("notebook", [("read", folder.path)], launch(data))
    #expect(shown.execution.directory == data)
    #expect(try prepare("notebook", [], launch("/usr/lib")).execution.directory == "/usr/lib")
    #expect(try prepare("notebook", [], launch("/lib")).execution.directory == "/lib")
    #expect(try prepare("notebook", [], launch("/tmp")).execution.directory == "/tmp")
    let outside = refusal { () throws(SandboxError) in
      try prepare("notebook", [], launch("/var/lib"))
    }
    #expect(outside?.kind == .denied)
    #expect(
      outside?.message == "directory /var/lib: outside the policy; allow it with --read /var/lib")
    let empty = refusal { () throws(SandboxError) in try prepare("notebook", [], launch("/tmp/x")) }
    #expect(empty?.kind == .notFound)
    let missing = refusal { () throws(SandboxError) in
      try prepare("notebook", [], launch("/usr/none"))
    }
    #expect(missing?.kind == .notFound)
  }

  @Test func `the program is looked for where the worker will see it`() throws {
    let folder = TemporaryFolder()
    let program = folder.file("bin/tool", "#!/bin/sh\n", mode: 0o755)
    #expect(
      try prepare("notebook", [], [("argument", "sh")]).execution.candidates.contains("/bin/sh"))
    let denied = refusal { () throws(SandboxError) in
      try prepare("notebook", [], [("argument", program)])
    }
    #expect(denied?.kind == .denied)
    #expect(
      denied?.message
        == "program \(program): the worker has a folder of its own there; "
        + "bring the machine's in with --read \(program)")
    #expect(
      try prepare("notebook", [("read", program)], [("argument", program)]).execution.candidates
        == [program])
    let path = ("env", "PATH=\(folder.path)/bin:relative:/bin")
    let hidden = refusal { () throws(SandboxError) in
      try prepare("notebook", [path], [("argument", "tool")])
    }
    #expect(hidden?.kind == .notFound)
    let found = try prepare("notebook", [path, ("read", folder.path)], [("argument", "tool")])
    #expect(found.execution.candidates == [program])
    #expect(found.execution.arguments == ["tool"])
    for (name, kind): (String, SandboxError.Kind) in [
      ("", .invalid), ("./x", .invalid), ("/usr/none", .notFound), ("/usr", .notExecutable),
    ] {
      let error = refusal { () throws(SandboxError) in
        try prepare("notebook", [], [("argument", name)])
      }
      #expect(error?.kind == kind, "\(name)")
    }
  }
}
