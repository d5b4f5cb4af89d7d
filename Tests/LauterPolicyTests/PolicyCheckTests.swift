// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LauterPolicy

@Suite struct PolicyCheckTests {
  private func policy(_ words: [(String, String)], preset: String = "notebook") throws -> Policy {
    var policy = try Policy(preset: preset)
    for (word, value) in words { try policy.set(word, value, environment: nobody) }
    return policy
  }

  @Test func `the most specific path wins`() throws {
    let policy = try policy([
      ("read", "/data"), ("deny", "/data/secret"), ("write", "/data/secret/out"),
      ("deny", "/data/secret/out/log"),
    ])
    #expect(try policy.check("read", "/data/x") == nil)
    #expect(
      try policy.check("write", "/data/x")
        == "read-only under the policy (read /data); allow it with --write /data/x")
    #expect(try policy.check("read", "/data/secret") == "denied by the policy (deny /data/secret)")
    #expect(try policy.check("read", "/data/secret/a/b") != nil)
    #expect(try policy.check("write", "/data/secret/out/x") == nil)
    #expect(try policy.check("read", "/data/secret/out/log/1") != nil)
    // A name that begins alike lies elsewhere.
    #expect(try policy.check("read", "/data/secretary") == nil)
    #expect(
      try policy.check("read", "/database") == "outside the policy; allow it with --read /database")
  }

  @Test func `the system is readable, its secrets and the home of people are not`() throws {
    let policy = try policy([])
    for path in [
      "/", "/usr/lib/x", "/bin/sh", "/etc", "/etc/ssl/certs/ca.pem", "/etc/ssl", "/etc/passwd",
      "/etc/python3.11/x", "/proc/self/status", "/dev/null", "/tmp/x", "/home/worker/x",
      "/dev/shm/x",
    ] {
      #expect(try policy.check("read", path) == nil, "\(path)")
    }
    for path in [
      "/etc/shadow", "/etc/ssl/private/key", "/etc/ssh", "/root/.ssh/id", "/home/me",
      "/home/workers",
      "/var/lib", "/sys", "/opt", "/usrlocal", "/etc/resolv.conf",
    ] {
      #expect(
        try policy.check("read", path) == "outside the policy; allow it with --read \(path)",
        "\(path)")
    }
  }

  @Test func `of proc a worker has its own processes, and under strict nothing else`() throws {
    for (path, notebook, strict) in [
      ("/proc", true, true), ("/proc/self/maps", true, true), ("/proc/17/status", true, true),
      ("/proc/thread-self", true, true), ("/proc/1", true, false), ("/proc/1/status", true, false),
      ("/proc/1/maps", false, false), ("/proc/1/fd/3", false, false),
      ("/proc/cpuinfo", true, false), ("/proc/sys/kernel/osrelease", true, false),
      ("/proc/keys", false, false), ("/proc/key-users", false, false),
      ("/proc/scsi/scsi", false, false),
    ] {
      #expect(try (policy([]).check("read", path) == nil) == notebook, "\(path)")
      #expect(
        try (policy([], preset: "strict").check("read", path) == nil) == strict, "\(path)")
    }
    #expect(try policy([]).check("write", "/proc/self/oom_score_adj") == nil)
    #expect(
      try policy([]).check("write", "/proc/sys/kernel/panic")
        == "read-only: no worker changes what is not its own in /proc")
    #expect(
      try policy([]).check("write", "/proc/1/oom_score_adj")
        == "closed: it is init's, which guards the worker")
    #expect(try policy([], preset: "unconfined").check("read", "/proc/1/maps") == nil)
  }

  @Test func `what is writable is the worker's own`() throws {
    let policy = try policy([])
    for path in ["/tmp/x", "/home/worker", "/dev/shm/x", "/dev/null"] {
      #expect(try policy.check("write", path) == nil, "\(path)")
    }
    #expect(
      try policy.check("write", "/usr/x")
        == "read-only under the policy; allow it with --write /usr/x")
    #expect(try policy.check("write", "/data") == "outside the policy; allow it with --write /data")
  }

  @Test func `strict has no home and its /tmp`() throws {
    let policy = try policy([], preset: "strict")
    #expect(try policy.check("write", "/tmp/x") == nil)
    #expect(try policy.check("read", "/home/worker/x") != nil)
    #expect(policy.homePath == nil)
  }

  @Test func `a home of the machine is writable there and nowhere else`() throws {
    let policy = try policy([("home", "/srv/nb"), ("deny", "/srv/nb/.ssh")])
    #expect(try policy.check("write", "/srv/nb/x") == nil)
    #expect(
      try policy.check("read", "/srv/nb/.ssh/id") == "denied by the policy (deny /srv/nb/.ssh)")
    #expect(try policy.check("write", "/home/worker/x") != nil)
  }

  @Test func `the private home moves where a folder of the machine is shown`() throws {
    #expect(try policy([("read", "/home")]).homePath == "/worker")
    #expect(try policy([("read", "/home/me")]).homePath == "/home/worker")
    #expect(try policy([("deny", "/home")]).homePath == "/home/worker")
  }

  @Test func `a hint can be copied to a command line`() throws {
    let policy = try policy([])
    #expect(
      try policy.check("read", "/my data/it's")
        == "outside the policy; allow it with --read '/my data/it'\\''s'")
    #expect(
      try policy.check("read", "/données") == "outside the policy; allow it with --read /données")
  }

  @Test(arguments: [
    ("localhost:80", true), ("127.0.0.1", true), ("127.8.9.1:1", true), ("[::1]:80", true),
    ("::1", true), ("0.0.0.0:1", true), ("1.1.1.1:53", false), ("127.evil.example:80", false),
    ("127.0.0.1.example", false), ("localhost.example:80", false), ("[2001:db8::1]:80", false),
    ("example.com", false), ("[::1", false), ("127.0.0.1111", false),
  ])
  func `a network of its own reaches its loopback alone`(address: String, isLoopback: Bool) throws {
    let own = try policy([("net", "private")])
    let none = try policy([("net", "none")])
    let host = try policy([("net", "host")])
    #expect(
      try own.check("net", address)
        == (isLoopback ? nil : "outside the policy; allow it with --net host"))
    #expect(
      try none.check("net", address)
        == "outside the policy; allow it with --net " + (isLoopback ? "private" : "host"))
    #expect(try host.check("net", address) == nil)
  }

  @Test func `programs may run where the policy says any and shows them`() throws {
    let any = try policy([])
    #expect(try any.check("run", "ls") == nil)
    #expect(try any.check("run", "/usr/bin/ls") == nil)
    #expect(try any.check("run", "/opt/x") == "outside the policy; allow it with --read /opt/x")
    let none = try policy([("run", "none")])
    #expect(try none.check("run", "ls") == "outside the policy; allow it with --run any")
  }

  @Test func `unconfined allows everything`() throws {
    let policy = try policy([], preset: "unconfined")
    #expect(try policy.check("write", "/etc/shadow") == nil)
    #expect(try policy.check("net", "1.1.1.1:1") == nil)
    #expect(try policy.check("run", "/opt/x") == nil)
  }

  @Test(arguments: [
    ("reed", "/x"), ("read", "x"), ("read", ""), ("net", ""), ("run", ""), ("read", "/a\0"),
  ])
  func `a question that makes no sense is an error`(word: String, value: String) throws {
    let policy = try policy([])
    #expect(throws: PolicyError.self) { try policy.check(word, value) }
  }
}
