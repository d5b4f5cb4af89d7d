// SPDX-License-Identifier: Apache-2.0

/// What the kernel will be told: a value that the host computes, prints, tests and hands to `lauter-init`.
package struct Plan: Equatable, Sendable {
  package var steps: [Step]
  package init(_ steps: [Step] = []) { self.steps = steps }

  /// Whether the worker has no namespaces, and init a guard instead.
  package var isGuarded: Bool {
    for case .guarded in steps { return true }
    return false
  }
}

/// A plan that cannot be read: from a host of another version, or cut short.
package struct PlanError: Error, Equatable, Sendable {
  package var offset: Int
}

/// `"LPL"` and the format's version. Host and init are built together and must agree on it.
private let planMagic: UInt32 = 0x014C_504C

extension Plan {
  /// The plan as bytes for `lauter-init`.
  package func encoded() -> [UInt8] {
    var out = PlanWriter()
    // What a sandbox takes, most of it files of /etc and the filter.
    out.bytes.reserveCapacity(48 << 10)
    out.u32(planMagic)
    out.u32(UInt32(steps.count))
    for step in steps { out.step(step) }
    return out.bytes
  }

  package init(decoding bytes: [UInt8]) throws(PlanError) {
    var input = PlanReader(bytes: bytes)
    guard try input.u32() == planMagic else { throw PlanError(offset: 0) }
    let count = try input.u32()
    var steps: [Step] = []
    // Each step has a byte at least.
    steps.reserveCapacity(min(Int(count), bytes.count))
    for _ in 0..<count { steps.append(try input.step()) }
    guard input.offset == bytes.count else { throw PlanError(offset: input.offset) }
    self.steps = steps
  }
}

private struct PlanWriter {
  var bytes: [UInt8] = []

  mutating func u8(_ value: UInt8) { bytes.append(value) }
  mutating func u16(_ value: UInt16) { integer(value) }
  mutating func u32(_ value: UInt32) { integer(value) }
  mutating func u64(_ value: UInt64) { integer(value) }
  mutating func flag(_ value: Bool) { bytes.append(value ? 1 : 0) }
  mutating func data(_ value: [UInt8]) {
    u32(UInt32(value.count))
    bytes.append(contentsOf: value)
  }
  mutating func text(_ value: String) {
    u32(UInt32(value.utf8.count))
    bytes.append(contentsOf: value.utf8)
  }
  mutating func texts(_ values: [String]) {
    u32(UInt32(values.count))
    for value in values { text(value) }
  }
  private mutating func integer<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }

  mutating func step(_ step: Step) {
    u8(step.code)
    switch step {
    case .privateMounts, .loopback, .enterRoot, .readOnlyRoot, .dropCapabilities, .guarded: break
    case .openTree(let slot, let path, let device, let inode):
      u16(slot)
      text(path)
      u64(device)
      u64(inode)
    case .adoptTree(let slot, let descriptor, let path):
      u16(slot)
      u16(descriptor)
      text(path)
    case .identity(let uid, let gid, let dropGroups):
      u32(uid)
      u32(gid)
      flag(dropGroups)
    case .ordinary(let ownKeyring): flag(ownKeyring)
    case .hostname(let name): text(name)
    case .quota(let name, let most):
      text(name)
      u32(most)
    case .newRoot(let size): u64(size)
    case .directory(let path, let mode):
      text(path)
      u32(mode)
    case .file(let path, let mode, let contents):
      text(path)
      u32(mode)
      data(contents)
    case .symlink(let path, let target):
      text(path)
      text(target)
    case .tmpfs(let path, let size, let mode):
      text(path)
      u64(size)
      u32(mode)
    case .attach(let slot, let path, let access, let isDirectory):
      u16(slot)
      text(path)
      u8(access.rawValue)
      flag(isDirectory)
    case .mask(let path, let isDirectory):
      text(path)
      flag(isDirectory)
    case .proc(let path, let options):
      text(path)
      text(options)
    case .devpts(let path): text(path)
    case .readOnly(let path), .noExecution(let path): text(path)
    case .terminal(let path, let rows, let columns):
      text(path)
      u16(rows)
      u16(columns)
    case .dropPrivilege(let last): u32(last)
    case .scratch(let base, let number, let hasHome):
      text(base)
      u64(number)
      flag(hasHome)
    case .processes(let count): u64(count)
    case .watchMemory(let version, let descriptor, let bell):
      u8(version)
      u16(descriptor)
      u16(bell)
    case .countCPU(let version, let descriptor):
      u8(version)
      u16(descriptor)
    case .sumMemory(let bytes, let places):
      u64(bytes)
      u8(places.rawValue)
    case .joinGroup(let descriptor, let limits):
      u16(descriptor)
      text(limits)
    case .limit(let resource, let soft, let hard):
      u32(resource)
      u64(soft)
      u64(hard)
    case .landlock(let filesystem, let network, let scope, let rules):
      u64(filesystem)
      u64(network)
      u64(scope)
      u32(UInt32(rules.count))
      for rule in rules {
        text(rule.path)
        u64(rule.access)
        flag(rule.ifThere)
        u64(rule.device)
        u64(rule.inode)
      }
    case .seccomp(let program): data(program)
    case .execute(let execution):
      texts(execution.candidates)
      texts(execution.arguments)
      texts(execution.environment)
      text(execution.directory)
      flag(execution.hasSession)
      flag(execution.ignoresInterrupt)
      u64(execution.wallMilliseconds)
      u64(execution.cpuMilliseconds)
      u64(execution.pass)
      flag(execution.hasTerminal)
      flag(execution.inBackground)
      u8(execution.violations.rawValue)
    }
  }
}

extension Step {
  /// The byte that stands for this kind of step.
  fileprivate var code: UInt8 {
    switch self {
    case .privateMounts: 1
    case .openTree: 2
    case .adoptTree: 3
    case .identity: 4
    case .hostname: 5
    case .loopback: 6
    case .quota: 30
    case .newRoot: 7
    case .directory: 8
    case .file: 9
    case .symlink: 10
    case .tmpfs: 11
    case .attach: 12
    case .mask: 13
    case .proc: 14
    case .devpts: 15
    case .enterRoot: 16
    case .readOnlyRoot: 17
    case .dropPrivilege: 18
    case .limit: 19
    case .landlock: 20
    case .seccomp: 21
    case .execute: 22
    case .readOnly: 23
    case .noExecution: 55
    case .terminal: 24
    case .ordinary: 35
    case .scratch: 45
    case .dropCapabilities: 46
    case .processes: 47
    case .guarded: 48
    case .joinGroup: 40
    case .watchMemory: 41
    case .countCPU: 42
    case .sumMemory: 43
    }
  }
}

private struct PlanReader {
  let bytes: [UInt8]
  var offset = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func take(_ count: Int) throws(PlanError) -> Range<Int> {
    guard count >= 0, count <= bytes.count - offset else { throw PlanError(offset: offset) }
    defer { offset += count }
    return offset..<(offset + count)
  }
  private mutating func integer<T: FixedWidthInteger>() throws(PlanError) -> T {
    let range = try take(T.bitWidth / 8)
    var value: T = 0
    for index in range.reversed() { value = (value << 8) | T(truncatingIfNeeded: bytes[index]) }
    return value
  }
  mutating func u8() throws(PlanError) -> UInt8 { try integer() }
  mutating func u16() throws(PlanError) -> UInt16 { try integer() }
  mutating func u32() throws(PlanError) -> UInt32 { try integer() }
  mutating func u64() throws(PlanError) -> UInt64 { try integer() }
  mutating func flag() throws(PlanError) -> Bool { try u8() != 0 }
  mutating func data() throws(PlanError) -> [UInt8] { Array(bytes[try take(Int(try u32()))]) }
  mutating func text() throws(PlanError) -> String {
    let range = try take(Int(try u32()))
    return String(decoding: bytes[range], as: UTF8.self)
  }
  mutating func texts() throws(PlanError) -> [String] {
    let count = try u32()
    var values: [String] = []
    for _ in 0..<count { values.append(try text()) }
    return values
  }

  mutating func step() throws(PlanError) -> Step {
    let start = offset
    switch try u8() {
    case 1: return .privateMounts
    case 2:
      return .openTree(slot: try u16(), path: try text(), device: try u64(), inode: try u64())
    case 3: return .adoptTree(slot: try u16(), descriptor: try u16(), path: try text())
    case 4: return .identity(uid: try u32(), gid: try u32(), dropGroups: try flag())
    case 5: return .hostname(try text())
    case 6: return .loopback
    case 7: return .newRoot(size: try u64())
    case 8: return .directory(path: try text(), mode: try u32())
    case 9: return .file(path: try text(), mode: try u32(), contents: try data())
    case 10: return .symlink(path: try text(), target: try text())
    case 11: return .tmpfs(path: try text(), size: try u64(), mode: try u32())
    case 12:
      return .attach(
        slot: try u16(), path: try text(), access: TreeAccess(rawValue: try u8()),
        isDirectory: try flag())
    case 13: return .mask(path: try text(), isDirectory: try flag())
    case 14: return .proc(path: try text(), options: try text())
    case 15: return .devpts(path: try text())
    case 16: return .enterRoot
    case 17: return .readOnlyRoot
    case 18: return .dropPrivilege(lastCapability: try u32())
    case 19: return .limit(resource: try u32(), soft: try u64(), hard: try u64())
    case 20:
      let filesystem = try u64()
      let network = try u64()
      let scope = try u64()
      let count = try u32()
      var rules: [LandlockRule] = []
      for _ in 0..<count {
        rules.append(
          LandlockRule(
            path: try text(), access: try u64(), ifThere: try flag(), device: try u64(),
            inode: try u64()))
      }
      return .landlock(filesystem: filesystem, network: network, scope: scope, rules: rules)
    case 21: return .seccomp(program: try data())
    case 22:
      var execution = Execution()
      execution.candidates = try texts()
      execution.arguments = try texts()
      execution.environment = try texts()
      execution.directory = try text()
      execution.hasSession = try flag()
      execution.ignoresInterrupt = try flag()
      execution.wallMilliseconds = try u64()
      execution.cpuMilliseconds = try u64()
      execution.pass = try u64()
      execution.hasTerminal = try flag()
      execution.inBackground = try flag()
      guard let violations = ViolationAnswer(rawValue: try u8()) else {
        throw PlanError(offset: offset - 1)
      }
      execution.violations = violations
      return .execute(execution)
    case 23: return .readOnly(path: try text())
    case 55: return .noExecution(path: try text())
    case 30: return .quota(name: try text(), most: try u32())
    case 24: return .terminal(path: try text(), rows: try u16(), columns: try u16())
    case 35: return .ordinary(ownKeyring: try flag())
    case 45: return .scratch(base: try text(), number: try u64(), hasHome: try flag())
    case 46: return .dropCapabilities
    case 47: return .processes(count: try u64())
    case 48: return .guarded
    case 40: return .joinGroup(descriptor: try u16(), limits: try text())
    case 41:
      return .watchMemory(version: try u8(), descriptor: try u16(), bell: try u16())
    case 42: return .countCPU(version: try u8(), descriptor: try u16())
    case 43: return .sumMemory(bytes: try u64(), places: MemoryPlaces(rawValue: try u8()))
    default: throw PlanError(offset: start)
    }
  }
}
