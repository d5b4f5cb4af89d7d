// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LauterPolicy

/// A caller without any variable.
func nobody(_ name: String) -> String? { nil }

func refusal(_ word: String, _ value: String, preset: String = "notebook") -> PolicyError? {
  do throws(PolicyError) {
    var policy = try Policy(preset: preset)
    try policy.set(word, value, environment: nobody)
    return nil
  } catch {
    return error
  }
}

@Suite struct PolicyWordsTests {
  @Test func `an unknown preset names the nearest one`() {
    #expect(
      throws: PolicyError(
        subject: "notebok", message: "unknown preset 'notebok'; did you mean 'notebook'?")
    ) { try Policy(preset: "notebok") }
  }

  @Test(arguments: [
    ("raed", "/data", "unknown word 'raed'; did you mean 'read'?"),
    ("net", "hots", "net: unknown value 'hots'; did you mean 'host'?"),
    ("jit", "yes", "jit: unknown value 'yes'; known are any and none"),
    ("limit", "cpus=0", "limit cpus: '0' is not a number from 0.01 to 4096, such as 0.5 or 2"),
    (
      "limit", "cpus=1.2345",
      "limit cpus: '1.2345' is not a number from 0.01 to 4096, such as 0.5 or 2"
    ),
    ("limit", "cpus=1.", "limit cpus: '1.' is not a number from 0.01 to 4096, such as 0.5 or 2"),
    ("limit", "cpus=.5", "limit cpus: '.5' is not a number from 0.01 to 4096, such as 0.5 or 2"),
    ("nest", "on", "nest: unknown value 'on'; known are any and none"),
    ("run", "sometimes", "run: unknown value 'sometimes'; known are any and none"),
    (
      "violations", "shout",
      "violations: unknown value 'shout'; known are tell, kill, silent and observe"
    ),
    ("limit", "memroy=1G", "limit: unknown value 'memroy'; did you mean 'memory'?"),
    ("limit", "memory", "limit memory: not NAME=VALUE, such as memory=1G"),
    ("device", "/dev/kvm", "device: reserved for a later version"),
    ("allow-missing", "raed", "allow-missing: unknown value 'raed'; did you mean 'read'?"),
  ])
  func `an unknown word or value names what is known`(
    word: String, value: String, message: String
  ) {
    #expect(refusal(word, value)?.message == message)
  }

  @Test(arguments: [
    ("", "read: the path is empty"),
    ("data", "read data: the path is relative; give an absolute one"),
    ("~/data", "read ~/data: '~' is resolved by shells, not here; give the absolute path"),
    ("/a/../b", "read /a/../b: '..' is not taken; give the path that is meant"),
    ("/a\0b", "read: the value holds a NUL byte"),
    ("/", "read /: the whole file system is not taken; name the folders that are meant"),
    ("//.//", "read /: the whole file system is not taken; name the folders that are meant"),
    ("/proc/self", "read /proc/self: a worker has a /proc of its own"),
    ("/dev", "read /dev: a worker has a /dev of its own"),
  ])
  func `a path that cannot be meant is refused by name`(path: String, message: String) {
    #expect(refusal("read", path)?.message == message)
  }

  @Test func `a path as long as the kernel takes is taken, a longer one refused`() {
    #expect(refusal("read", "/" + String(repeating: "a", count: 4094)) == nil)
    #expect(refusal("read", "/" + String(repeating: "a", count: 4095)) != nil)
  }

  @Test func `doubled slashes, dots and a final slash are cleaned away`() throws {
    var policy = try Policy(preset: "notebook")
    try policy.set("read", "//data/./x//", environment: nobody)
    #expect(policy.rules.map(\.path) == ["/data/x"])
  }

  @Test func `the last word about a path is the one that holds`() throws {
    var policy = try Policy(preset: "notebook")
    try policy.set("read", "/data", environment: nobody)
    try policy.set("write", "/data/", environment: nobody)
    #expect(policy.rules.map(\.access) == [.write])
  }

  @Test(
    arguments: [
      ("1", 1), ("10K", 10 << 10), ("512M", 512 << 20), ("2G", 2 << 30),
    ] as [(String, UInt64)])
  func `a size is binary`(text: String, bytes: UInt64) throws {
    var policy = try Policy(preset: "notebook")
    try policy.set("limit", "memory=" + text, environment: nobody)
    #expect(policy.memoryBytes == bytes)
  }

  @Test(arguments: [
    "", "0", "-1", "1T", "1 G", "1g", "G", "1.5G", "99999999999999999999", "9999999999999G",
  ])
  func `what is no size is refused`(text: String) {
    #expect(refusal("limit", "memory=" + text)?.subject == "limit memory")
    #expect(refusal("tmp", text)?.subject == "tmp")
  }

  @Test(
    arguments: [
      ("1ms", 1), ("90s", 90_000), ("10m", 600_000), ("2h", 7_200_000),
    ] as [(String, UInt64)])
  func `a time takes its unit`(text: String, milliseconds: UInt64) throws {
    var policy = try Policy(preset: "notebook")
    try policy.set("limit", "wall=" + text, environment: nobody)
    #expect(policy.wallMilliseconds == milliseconds)
  }

  @Test(arguments: ["", "0s", "10", "1d", "s", "-1s", "88888888h"])
  func `what is no time is refused`(text: String) {
    #expect(refusal("limit", "wall=" + text)?.subject == "limit wall")
  }

  @Test func `none lifts a limit`() throws {
    var policy = try Policy(preset: "notebook")
    #expect(policy.memoryBytes != nil && policy.processes != nil)
    #expect(policy.openFiles == 4096)
    for (name, value) in [("cpu", "1s"), ("wall", "1s"), ("file-size", "1K"), ("output", "1K")] {
      try policy.set("limit", name + "=" + value, environment: nobody)
    }
    #expect(policy.cpuMilliseconds == 1000 && policy.wallMilliseconds == 1000)
    #expect(policy.fileBytes == 1024 && policy.outputBytes == 1024)
    for name in ["memory", "processes", "open-files", "file-size", "output", "cpus", "cpu", "wall"]
    {
      try policy.set("limit", name + "=none", environment: nobody)
    }
    #expect(policy.memoryBytes == nil && policy.processes == nil && policy.openFiles == nil)
    #expect(policy.milliCPUs == nil)
    #expect(policy.fileBytes == nil && policy.outputBytes == nil)
    #expect(policy.cpuMilliseconds == nil && policy.wallMilliseconds == nil)
  }

  @Test(arguments: [
    ("open-files=15", "limit open-files: '15' is not a number from 16 to 1048576"),
    ("open-files=4K", "limit open-files: '4K' is not a number from 16 to 1048576"),
    ("file-size=0", "limit file-size: '0' is not a size"),
    ("output=10s", "limit output: '10s' is not a size"),
    ("cpu=10", "limit cpu: '10' is not a time"),
    ("cpus=10s", "limit cpus: '10s' is not a number from 0.01 to 4096"),
    ("cpus=4096.1", "limit cpus: '4096.1' is not a number from 0.01 to 4096"),
    ("cpus=18446744073709551.999", "limit cpus: '18446744073709551.999' is not a number"),
    ("walls=10s", "limit: unknown value 'walls'; did you mean 'wall'?"),
  ])
  func `what a limit does not take is refused`(value: String, message: String) {
    #expect(refusal("limit", value)?.message.hasPrefix(message) == true)
  }

  @Test func `a variable is passed on with the caller's value, or refused if there is none`() throws
  {
    var policy = try Policy(preset: "notebook")
    try policy.set("env", "TOKEN") { $0 == "TOKEN" ? "a=b" : nil }
    try policy.set("env", "EMPTY=", environment: nobody)
    #expect(policy.variable("TOKEN") == "a=b")
    #expect(policy.variable("EMPTY") == "")
    #expect(policy.variable("HOME") == nil)
    #expect(
      refusal("env", "TOKEN")?.message == "env TOKEN: the caller has no such variable to pass on")
    #expect(refusal("env", "=x") != nil)
    #expect(refusal("env", "A B=x") != nil)
  }

  @Test(arguments: [
    ("deny", "/data"), ("net", "private"), ("net", "none"), ("run", "none"), ("jit", "none"),
    ("nest", "any"),
    ("home", "none"),
    ("home", "/data"), ("tmp", "1M"),
  ])
  func `unconfined refuses what it could only pretend`(word: String, value: String) {
    #expect(refusal(word, value) == nil)
    #expect(refusal(word, value, preset: "unconfined")?.subject == word)
  }

  @Test func `paths that look alike but are other bytes are two paths`() throws {
    // U+00E9 and U+0065 U+0301: equal as Swift strings, two names for the kernel.
    let composed = "/caf\u{E9}"
    let decomposed = "/cafe\u{301}"
    #expect(composed == decomposed)
    var policy = try Policy(preset: "notebook")
    try policy.set("read", composed, environment: nobody)
    let before = policy
    try policy.set("deny", decomposed, environment: nobody)
    #expect(policy.rules.count == 2)
    #expect(policy != before)
    #expect(try policy.check("read", composed) == nil)
    #expect(try policy.check("read", decomposed) != nil)
  }
}
