// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LauterPlan

private let everyStep: [Step] = {
  var execution = Execution()
  execution.candidates = ["/usr/bin/env", "/bin/env"]
  execution.arguments = ["env", ""]
  execution.environment = ["LANG=C.UTF-8", "ÄPFEL=ß"]
  execution.directory = "/home/worker"
  execution.hasSession = true
  execution.ignoresInterrupt = true
  execution.wallMilliseconds = .max
  execution.cpuMilliseconds = 1 << 40
  execution.hasTerminal = true
  execution.inBackground = true
  execution.violations = .kill
  return [
    .privateMounts,
    .openTree(slot: 3, path: "/usr", device: 1 << 40, inode: .max),
    .adoptTree(slot: 65535, descriptor: 9, path: "/data"),
    .identity(uid: 1000, gid: .max, dropGroups: true),
    .ordinary(ownKeyring: true), .ordinary(ownKeyring: false), .hostname("worker"), .loopback,
    .newRoot(size: 1 << 20),
    .directory(path: "/a/b", mode: 0o1777),
    .file(path: "/etc/passwd", mode: 0o644, contents: [0, 255, 10]),
    .symlink(path: "/bin", target: "usr/bin"),
    .tmpfs(path: "/tmp", size: 0, mode: 0o700),
    .attach(slot: 3, path: "/usr", access: [.write, .devices], isDirectory: true),
    .mask(path: "/a/.env", isDirectory: false),
    .proc(path: "/proc", options: "masked"), .devpts(path: "/dev/pts"),
    .enterRoot, .readOnlyRoot, .readOnly(path: "/dev"), .dropPrivilege(lastCapability: 40),
    .quota(name: "max_inotify_instances", most: 32),
    .scratch(base: "/tmp", number: .max, hasHome: true), .dropCapabilities,
    .processes(count: 1 << 33), .guarded,
    .terminal(path: "/dev/pts/ptmx", rows: 24, columns: .max),
    .watchMemory(version: 1, descriptor: 12, bell: .max), .countCPU(version: 2, descriptor: 13),
    .sumMemory(bytes: .max, places: [.temporary, .systemV]),
    .joinGroup(descriptor: 11, limits: "4096 bytes"),
    .limit(resource: 2, soft: 0, hard: .max),
    .landlock(
      filesystem: 0x1fff, network: 3, scope: 3,
      rules: [
        LandlockRule(path: "/usr", access: 13),
        LandlockRule(path: "/srv/x", access: 4, ifThere: true),
        LandlockRule(path: "/srv/y", access: 4, device: .max, inode: 1 << 50),
      ]),
    .seccomp(program: Array(0..<64)), .execute(execution),
  ]
}()

@Suite struct PlanTests {
  @Test func `a plan of every kind of step survives the way to init`() throws {
    let plan = Plan(everyStep)
    #expect(try Plan(decoding: plan.encoded()) == plan)
  }

  @Test func `an empty plan survives the way to init`() throws {
    #expect(try Plan(decoding: Plan().encoded()) == Plan())
  }

  @Test func `a plan that was cut short anywhere is refused`() throws {
    let bytes = Plan(everyStep).encoded()
    _ = try Plan(decoding: bytes)
    for count in 0..<bytes.count {
      #expect(throws: PlanError.self) { try Plan(decoding: Array(bytes[..<count])) }
    }
  }

  @Test func `bytes after the end of a plan are refused`() {
    #expect(throws: PlanError.self) { try Plan(decoding: Plan(everyStep).encoded() + [0]) }
  }

  @Test func `a plan of another version is refused`() {
    var bytes = Plan(everyStep).encoded()
    bytes[3] ^= 1
    #expect(throws: PlanError(offset: 0)) { try Plan(decoding: bytes) }
  }

  @Test func `an answer to violations that nobody gives is refused`() {
    var bytes = Plan([.execute(Execution())]).encoded()
    bytes[bytes.count - 1] = 4
    #expect(throws: PlanError(offset: bytes.count - 1)) { try Plan(decoding: bytes) }
  }

  @Test func `an unknown step is refused where it stands`() {
    var bytes = Plan([.privateMounts]).encoded()
    bytes[8] = 200
    #expect(throws: PlanError(offset: 8)) { try Plan(decoding: bytes) }
  }
}

@Suite struct ControlTests {
  @Test func `notices and orders survive the socket`() {
    var exit = Control.Exit()
    exit.code = 255
    exit.dumpedCore = true
    exit.userMicroseconds = 1 << 40
    exit.systemMicroseconds = 7
    exit.peakKiB = 1 << 33
    exit.treePeakKiB = 1 << 34
    for notice in [
      .started, .failed(step: 12, errno: 13, call: "mount_setattr"), .exited(exit), .terminal,
      .suspended(signal: 20), .violationsUntold,
      .denied(
        Control.Violation(
          number: .max, architecture: 0xC000_003E, thread: 7, programCounter: 1 << 63,
          arguments: [1, 2, .max, 4, 5, 1 << 40], count: 1 << 33)),
    ] as [Control.Notice] {
      #expect(Control.Notice(decoding: notice.encoded()) == notice)
    }
    for order in [
      .signal(15, group: true), .pause, .resume, .foreground(true), .foreground(false),
    ] as [Control.Order] {
      #expect(Control.Order(decoding: order.encoded()) == order)
    }
  }

  @Test func `each reason for which init kills is a mark of its own`() {
    var seen: Set<[UInt8]> = [Control.Notice.exited(Control.Exit()).encoded()]
    for mark in [
      \.wallLimit, \.cpuLimit, \.ranPaused, \.blocked, \.memoryLimit,
    ] as [WritableKeyPath<Control.Exit, Bool>] {
      var exit = Control.Exit()
      exit[keyPath: mark] = true
      let packet = Control.Notice.exited(exit).encoded()
      #expect(Control.Notice(decoding: packet) == .exited(exit))
      #expect(seen.insert(packet).inserted)
    }
  }

  @Test func `what no host orders is not an order`() {
    #expect(Control.Order(decoding: []) == nil)
    #expect(Control.Order(decoding: [UInt8](repeating: 0, count: Control.size)) == nil)
    #expect(Control.Order(decoding: Control.Order.pause.encoded() + [0]) == nil)
  }

  @Test func `what no init sends is not a notice`() {
    #expect(Control.Notice(decoding: []) == nil)
    #expect(Control.Notice(decoding: [UInt8](repeating: 0, count: Control.size)) == nil)
    #expect(Control.Notice(decoding: Control.Notice.started.encoded() + [0]) == nil)
    var exit = Control.Exit()
    exit.signal = 65
    #expect(Control.Notice(decoding: Control.Notice.exited(exit).encoded()) == nil)
    for signal: Int32 in [0, -1, 65] {
      #expect(Control.Notice(decoding: Control.Notice.suspended(signal: signal).encoded()) == nil)
    }
    let never = Control.Violation(
      number: 1, architecture: 2, thread: 3, programCounter: 4,
      arguments: [UInt64](repeating: 0, count: 6), count: 0)
    #expect(Control.Notice(decoding: Control.Notice.denied(never).encoded()) == nil)
    exit.signal = 9
    exit.code = 256
    #expect(Control.Notice(decoding: Control.Notice.exited(exit).encoded()) == nil)
  }
}
