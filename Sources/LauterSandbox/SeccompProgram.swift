// SPDX-License-Identifier: Apache-2.0

#if canImport(CSandbox)
  import CSandbox
#endif

/// What a filter answers to a call.
enum Verdict: Equatable {
  case allow
  /// The call fails with this errno and does nothing.
  case fail(Int32)
  /// It is left to who listens, and fails with EPERM unless that one decides otherwise.
  case tell

  fileprivate var action: UInt32 {
    switch self {
    case .allow: csandbox_allow()
    case .fail(let errno): csandbox_errno(UInt32(bitPattern: errno))
    case .tell: csandbox_notify(0)
    }
  }
}

/// What a filter says to one call, by its arguments.
///
/// Arguments are compared by *half*: the kernel takes an ioctl's number and clone's flags from the lower half and never
/// looks at the upper, so a comparison of the whole is walked around by setting a bit there (CVE-2019-10063).
struct CallRule {
  enum Test: Equatable {
    /// The lower half of the argument is this.
    case equal(_ argument: UInt32, UInt32)
    /// The lower half of the argument has one of these bits.
    case any(_ argument: UInt32, UInt32)
    /// The upper half of the argument is this.
    case upperIs(_ argument: UInt32, UInt32)
    /// The upper halves of the two arguments are the pass, which is filled in for each worker.
    case pass(_ first: UInt32, _ second: UInt32)
  }
  struct Case {
    var tests: [Test]
    var verdict: Verdict
  }

  /// The first whose tests all hold decides.
  var cases: [Case] = []
  var otherwise: Verdict

  /// `verdict` where `tests` hold, `otherwise` where not.
  static func when(_ tests: Test..., then verdict: Verdict, otherwise: Verdict = .allow) -> CallRule
  {
    CallRule(cases: [Case(tests: tests, verdict: verdict)], otherwise: otherwise)
  }

  mutating func add(_ tests: Test..., verdict: Verdict) {
    cases.append(Case(tests: tests, verdict: verdict))
  }
}

/// A seccomp program, in the kernel's own instructions: a search tree over the numbers of the calls, whose leaves answer
/// or look at arguments.
///
/// Ours, not libseccomp's (which knows the names and numbers): when a filter is loaded the kernel tries it with every
/// number that there is and translates it to machine code, so every instruction, and every one before a leaf more than
/// others, costs each launch something. libseccomp's tree with our checks of arguments before it took 621; this takes 240.
struct SeccompProgram {
  /// `struct sock_filter`s.
  let bytes: [UInt8]
  /// Where the two halves of the pass stand in `bytes`.
  private var passAt: [Int] = []

  /// - Parameters:
  ///   - rules: by number.
  ///   - unknown: for every number that has no rule.
  ///   - foreign: for the entries of other architectures.
  init(_ rules: [UInt32: CallRule], unknown: Verdict, foreign: Verdict) {
    var writer = SeccompWriter()
    // Ranges of numbers that are answered alike: the first of each, and where its answer is.
    var ranges: [(first: UInt32, leaf: SeccompWriter.Target)] = []
    func append(_ first: UInt32, _ leaf: SeccompWriter.Target) {
      if ranges.last?.leaf != leaf { ranges.append((first, leaf)) }
    }
    var next: UInt32 = 0
    for number in rules.keys.sorted() {
      guard let rule = rules[number] else { continue }
      if number > next { append(next, .answer(unknown.action)) }
      append(number, writer.block(rule))
      next = number + 1
    }
    append(next, .answer(unknown.action))
    // The calls of x32, which come with x86_64's architecture and bit 30 of the number.
    append(0x4000_0000, .answer(foreign.action))
    append(0x4000_0400, .answer(unknown.action))

    let tree = writer.tree(ranges[...])
    let number = writer.load(0, then: tree)
    let native = writer.compare(
      .equal, csandbox_native_architecture(), yes: number, no: .answer(foreign.action))
    _ = writer.load(4, then: native)
    bytes = writer.bytes
    for at in stride(from: 0, to: bytes.count, by: 8) where bytes[at] == SeccompWriter.Code.xor {
      passAt.append(at + 4)
    }
  }

  /// The program for one worker.
  func bytes(pass: UInt64) -> [UInt8] {
    var bytes = bytes
    for (index, place) in passAt.enumerated() {
      let half = UInt32(truncatingIfNeeded: index % 2 == 0 ? pass >> 32 : pass)
      withUnsafeBytes(of: half) { half in
        for offset in 0..<4 { bytes[place + offset] = half[offset] }
      }
    }
    return bytes
  }
}

/// Writes a program from its end to its beginning: jumps lead forward only, so every target is there before the jump to
/// it, and answers are shared wherever one is within reach.
private struct SeccompWriter {
  /// Where to go on.
  enum Target: Equatable {
    case answer(UInt32)
    /// An instruction, by how many were written before it.
    case place(Int)
  }

  /// `struct sock_filter`: u16 code, u8 jump if true, u8 jump if false, u32 constant.
  private struct Instruction {
    var code: UInt8
    var yes: UInt8 = 0
    var no: UInt8 = 0
    var k: UInt32
  }

  enum Code {
    static let load: UInt8 = 0x20  // BPF_LD|W|ABS
    static let jump: UInt8 = 0x05  // BPF_JMP|JA
    static let answer: UInt8 = 0x06  // BPF_RET|K
    static let store: UInt8 = 0x02  // BPF_ST
    static let xor: UInt8 = 0xA4  // BPF_ALU|XOR|K
    static let loadStored: UInt8 = 0x61  // BPF_LDX|MEM
    static let or: UInt8 = 0x4C  // BPF_ALU|OR|X
  }

  enum Comparison: UInt8 {
    case equal = 0x15  // BPF_JMP|JEQ|K
    case atLeast = 0x35  // BPF_JMP|JGE|K
    case anyBit = 0x45  // BPF_JMP|JSET|K
  }

  /// The last one first.
  private var reversed: [Instruction] = []
  /// The latest place of each answer.
  private var answers: [(action: UInt32, place: Int)] = []

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for instruction in reversed.reversed() {
      // In the machine's byte order.
      withUnsafeBytes(of: UInt16(instruction.code)) { bytes.append(contentsOf: $0) }
      bytes.append(instruction.yes)
      bytes.append(instruction.no)
      withUnsafeBytes(of: instruction.k) { bytes.append(contentsOf: $0) }
    }
    return bytes
  }

  private mutating func write(_ instruction: Instruction) -> Target {
    reversed.append(instruction)
    return .place(reversed.count - 1)
  }

  /// How many instructions a jump written next would pass over.
  private func distance(_ place: Int) -> Int { reversed.count - place - 1 }

  /// A place that a conditional jump can reach, though some few instructions are written before it.
  private mutating func reachable(_ target: Target) -> Int {
    let farthest = 250
    switch target {
    case .answer(let action):
      for index in answers.indices where answers[index].action == action {
        if distance(answers[index].place) <= farthest { return answers[index].place }
        answers[index].place = reversed.count
        _ = write(Instruction(code: Code.answer, k: action))
        return answers[index].place
      }
      answers.append((action, reversed.count))
      _ = write(Instruction(code: Code.answer, k: action))
      return reversed.count - 1
    case .place(let place):
      if distance(place) <= farthest { return place }
      _ = write(Instruction(code: Code.jump, k: UInt32(distance(place))))
      return reversed.count - 1
    }
  }

  mutating func compare(
    _ comparison: Comparison, _ value: UInt32, yes: Target, no: Target
  ) -> Target {
    let yes = reachable(yes)
    let no = reachable(no)
    return write(
      Instruction(
        code: comparison.rawValue, yes: UInt8(distance(yes)), no: UInt8(distance(no)), k: value))
  }

  /// Load four bytes of `struct seccomp_data`, and go on at `next`.
  mutating func load(_ offset: UInt32, then next: Target) -> Target {
    follow(next)
    return write(Instruction(code: Code.load, k: offset))
  }

  /// See to it that what was written last is `next`.
  private mutating func follow(_ next: Target) {
    switch next {
    case .place(let place) where distance(place) == 0: break
    case .place(let place): _ = write(Instruction(code: Code.jump, k: UInt32(distance(place))))
    case .answer(let action): _ = write(Instruction(code: Code.answer, k: action))
    }
  }

  mutating func tree(_ ranges: ArraySlice<(first: UInt32, leaf: Target)>) -> Target {
    if ranges.count == 1 { return ranges.first!.leaf }
    let middle = ranges.startIndex + ranges.count / 2
    let right = tree(ranges[middle...])
    let left = tree(ranges[..<middle])
    return compare(.atLeast, ranges[middle].first, yes: right, no: left)
  }

  mutating func block(_ rule: CallRule) -> Target {
    var next = Target.answer(rule.otherwise.action)
    for index in rule.cases.indices.reversed() {
      let tests = rule.cases[index].tests
      var go = Target.answer(rule.cases[index].verdict.action)
      for test in tests.indices.reversed() {
        let before = test > 0 ? tests[test - 1] : SeccompWriter.left(by: rule.cases[..<index])
        go = check(tests[test], loaded: before?.argument, yes: go, no: next)
      }
      next = go
    }
    return next
  }

  /// The test whose argument is in the accumulator when all `cases` have failed: whichever test failed, it must be that
  /// one.
  private static func left(by cases: ArraySlice<CallRule.Case>) -> CallRule.Test? {
    guard let last = cases.last, last.tests.count == 1 else { return nil }
    return last.tests[0]
  }

  private mutating func check(
    _ test: CallRule.Test, loaded: UInt32?, yes: Target, no: Target
  ) -> Target {
    let comparison: Target
    switch test {
    case .equal(_, let value): comparison = compare(.equal, value, yes: yes, no: no)
    case .any(_, let bits): comparison = compare(.anyBit, bits, yes: yes, no: no)
    case .upperIs(let argument, let value):
      let comparison = compare(.equal, value, yes: yes, no: no)
      return load(SeccompWriter.upper(argument), then: comparison)
    case .pass(let first, let second):
      // Both halves in one comparison: two could be found out one after the other.
      _ = compare(.equal, 0, yes: yes, no: no)
      _ = write(Instruction(code: Code.or, k: 0))
      _ = write(Instruction(code: Code.loadStored, k: 0))
      _ = write(Instruction(code: Code.xor, k: 0))
      _ = write(Instruction(code: Code.load, k: SeccompWriter.upper(second)))
      _ = write(Instruction(code: Code.store, k: 0))
      _ = write(Instruction(code: Code.xor, k: 0))
      return write(Instruction(code: Code.load, k: SeccompWriter.upper(first)))
    }
    guard let argument = test.argument, argument != loaded else { return comparison }
    return load(SeccompWriter.lower(argument), then: comparison)
  }

  // struct seccomp_data: int nr, u32 arch, u64 instruction pointer, u64 args[6].
  private static func lower(_ argument: UInt32) -> UInt32 {
    16 + 8 * argument + (isLittleEndian ? 0 : 4)
  }
  private static func upper(_ argument: UInt32) -> UInt32 {
    16 + 8 * argument + (isLittleEndian ? 4 : 0)
  }
  private static var isLittleEndian: Bool { UInt16(1).littleEndian == 1 }
}

extension CallRule.Test {
  /// The argument whose lower half is compared.
  fileprivate var argument: UInt32? {
    switch self {
    case .equal(let argument, _), .any(let argument, _): argument
    case .upperIs, .pass: nil
    }
  }
}
