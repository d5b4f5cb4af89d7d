// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LauterPolicy

@Suite struct LaunchTests {
  @Test func `a launch begins with what the header promises`() throws {
    let launch = try Launch(kind: "program")
    #expect(launch.stdin == .null && launch.stdout == .capture && launch.stderr == .capture)
    #expect(launch.readyTimeoutMilliseconds == 30_000)
    #expect(launch.interruptGraceMilliseconds == 5000)
    #expect(launch.directory == nil && launch.arguments.isEmpty && launch.label.isEmpty)
  }

  @Test func `every property can be set`() throws {
    var launch = try Launch(kind: "python")
    for (property, value) in [
      ("interpreter", "/usr//bin/python3"), ("argument", "-a"), ("argument", ""), ("label", "x y"),
      ("directory", "/data/"), ("stdin", "pipe"), ("stdout", "inherit"), ("stderr", "null"),
      ("ready-timeout", "100ms"), ("interrupt-grace", "1m"),
    ] {
      try launch.set(property, value)
    }
    #expect(launch.interpreter == "/usr/bin/python3")
    #expect(launch.arguments == ["-a", ""])
    #expect(launch.label == "x y")
    #expect(launch.directory == "/data")
    #expect(launch.stdin == .pipe && launch.stdout == .inherit && launch.stderr == .null)
    #expect(launch.readyTimeoutMilliseconds == 100)
    #expect(launch.interruptGraceMilliseconds == 60_000)
  }

  @Test(arguments: [
    ("agument", "x", "unknown property 'agument'; did you mean 'argument'?"),
    ("stdin", "capture", "stdin: unknown value 'capture'; known are null, inherit and pipe"),
    ("stdout", "pipe", "stdout: unknown value 'pipe'; known are capture, inherit and null"),
    ("directory", "data", "directory data: the path is relative; give an absolute one"),
    ("argument", "a\0b", "argument: the value holds a NUL byte"),
    ("interpreter", "/bin/x", "interpreter: only a launch of kind python has one"),
    ("terminal", "80", "terminal: '80' is not none or ROWSxCOLUMNS, such as 24x80"),
    ("terminal", "0x80", "terminal: '0x80' is not none or ROWSxCOLUMNS, such as 24x80"),
  ])
  func `a bad property is refused by name`(property: String, value: String, message: String) throws
  {
    var launch = try Launch(kind: "worker")
    let before = launch
    do throws(PolicyError) {
      try launch.set(property, value)
      Issue.record("taken")
    } catch {
      #expect(error.message == message)
    }
    #expect(launch == before)
  }

  @Test func `a terminal has a size and perhaps a background`() throws {
    var launch = try Launch(kind: "program")
    try launch.set("terminal", "24x80")
    #expect(launch.terminal == Launch.Terminal(rows: 24, columns: 80))
    try launch.set("terminal", "1x65535 background")
    #expect(launch.terminal == Launch.Terminal(rows: 1, columns: .max, inBackground: true))
    try launch.set("terminal", "none")
    #expect(launch.terminal == nil)
  }

  @Test(arguments: [("stdin", "pipe"), ("stdout", "inherit"), ("stderr", "null")])
  func `a terminal takes the place of all streams`(property: String, value: String) throws {
    for order in [
      [("terminal", "24x80"), (property, value)], [(property, value), ("terminal", "24x80")],
    ] {
      var launch = try Launch(kind: "program")
      try launch.set(order[0].0, order[0].1)
      let before = launch
      #expect(throws: PolicyError.self) { try launch.set(order[1].0, order[1].1) }
      #expect(launch == before)
    }
  }

  @Test func `an unknown kind names the nearest`() {
    #expect(
      throws: PolicyError(
        subject: "pyton", message: "unknown kind of launch 'pyton'; did you mean 'python'?")
    ) { try Launch(kind: "pyton") }
  }
}
