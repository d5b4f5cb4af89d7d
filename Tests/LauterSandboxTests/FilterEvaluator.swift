// SPDX-License-Identifier: Apache-2.0

/// Runs a seccomp program as the kernel would: classic BPF over `struct seccomp_data`.
struct FilterEvaluator {
  enum Action: Equatable, CustomStringConvertible {
    case allow
    case errno(Int32)
    /// Left to who listens.
    case notify
    case other(UInt32)

    init(_ value: UInt32) {
      switch value {
      case 0x7FFF_0000: self = .allow
      case 0x0005_0000...0x0005_FFFF: self = .errno(Int32(value & 0xFFFF))
      case 0x7FC0_0000: self = .notify
      default: self = .other(value)
      }
    }

    var description: String {
      switch self {
      case .allow: "allow"
      case .errno(let number): "errno \(number)"
      case .notify: "notify"
      case .other(let value): "action \(value)"
      }
    }
  }

  enum Fault: Error, Equatable {
    case notInstructions
    case unknownCode(UInt16)
    case outOfRange(Int)
    case loadOutside(UInt32)
  }

  private struct Instruction {
    var code: UInt16
    var yes: UInt8
    var no: UInt8
    var k: UInt32
  }

  private let instructions: [Instruction]

  /// - Parameter most: how many instructions it may have: the kernel takes 4,096.
  init(_ program: [UInt8], most: Int = 4096) throws(Fault) {
    guard !program.isEmpty, program.count % 8 == 0, program.count / 8 <= most else {
      throw .notInstructions
    }
    var read: [Instruction] = []
    for at in stride(from: 0, to: program.count, by: 8) {
      let code = UInt16(program[at]) | UInt16(program[at + 1]) << 8
      var k: UInt32 = 0
      for offset in (4..<8).reversed() { k = k << 8 | UInt32(program[at + offset]) }
      read.append(Instruction(code: code, yes: program[at + 2], no: program[at + 3], k: k))
    }
    instructions = read
  }

  var count: Int { instructions.count }

  /// What the program says to a call.
  func decide(
    _ number: Int, architecture: UInt32, _ arguments: [UInt64] = []
  ) throws(Fault) -> Action {
    try run(number, architecture, arguments).action
  }

  /// How many instructions it takes to an answer.
  func steps(_ number: Int, architecture: UInt32) throws(Fault) -> Int {
    try run(number, architecture, []).steps
  }

  private func run(
    _ number: Int, _ architecture: UInt32, _ arguments: [UInt64]
  ) throws(Fault) -> (action: Action, steps: Int) {
    var steps = 0
    var data: [UInt32] = [
      UInt32(truncatingIfNeeded: number), architecture, 0, 0,
    ]
    for index in 0..<6 {
      let value = index < arguments.count ? arguments[index] : 0
      data += [UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32)]
    }
    var accumulator: UInt32 = 0
    var index: UInt32 = 0
    var memory = [UInt32](repeating: 0, count: 16)
    var at = 0
    while true {
      guard instructions.indices.contains(at) else { throw .outOfRange(at) }
      let instruction = instructions[at]
      at += 1
      steps += 1
      switch instruction.code {
      case 0x20:
        guard instruction.k % 4 == 0, instruction.k / 4 < 16 else {
          throw .loadOutside(instruction.k)
        }
        accumulator = data[Int(instruction.k / 4)]
      case 0x02, 0x61:
        guard instruction.k < 16 else { throw .loadOutside(instruction.k) }
        if instruction.code == 0x02 {
          memory[Int(instruction.k)] = accumulator
        } else {
          index = memory[Int(instruction.k)]
        }
      case 0x4C: accumulator |= index
      case 0xA4: accumulator ^= instruction.k
      case 0x54: accumulator &= instruction.k
      case 0x05: at += Int(instruction.k)
      case 0x15: at += Int(accumulator == instruction.k ? instruction.yes : instruction.no)
      case 0x25: at += Int(accumulator > instruction.k ? instruction.yes : instruction.no)
      case 0x35: at += Int(accumulator >= instruction.k ? instruction.yes : instruction.no)
      case 0x45: at += Int(accumulator & instruction.k != 0 ? instruction.yes : instruction.no)
      case 0x06: return (Action(instruction.k), steps)
      default: throw .unknownCode(instruction.code)
      }
    }
  }
}
