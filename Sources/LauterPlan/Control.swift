// SPDX-License-Identifier: Apache-2.0

/// The talk between the host and `lauter-init`, over a SEQPACKET socket: one message a packet, little-endian,
/// of `Control.size` bytes. Init is ours, yet the host bounds and checks what it says like a worker's words.
package enum Control {
  /// Every packet has this size, either way.
  package static let size = 80
  /// Bytes of a system call's name.
  package static let nameMax = 48

  /// What init tells the host.
  package enum Notice: Equatable, Sendable {
    /// The plan failed at step `step` (counted from 1; 0: reading the plan itself; one more than there are: entering
    /// the working directory, which is told apart from a missing program) with `errno` of `call`, which names what failed
    /// in at most `nameMax` bytes of ASCII.
    case failed(step: UInt32, errno: Int32, call: String)
    /// The worker's program runs.
    case started
    /// The worker ended. Init ends next, and with it whatever the worker left running.
    case exited(Exit)
    /// The host's end of the worker's terminal comes with this packet.
    case terminal
    /// `signal` stopped the worker: Ctrl-Z at its terminal, say.
    case suspended(signal: Int32)
    /// The kernel gives init no say in what the filter refuses, so it will not be told.
    case violationsUntold
    /// The worker made a call that is not its to make. Told when one is first made, and again at the end if it was made
    /// more often.
    case denied(Violation)
    /// The answer to `dial` or `open` with this number: a descriptor comes with this packet, or why not.
    case descriptor(token: UInt32, errno: Int32)
  }

  /// A call that is not the worker's to make, as it was made first.
  package struct Violation: Equatable, Sendable {
    /// How many different ones are told apart; all others together are one more.
    package static let kindsMax = 64
    package static let argumentCount = 6
    /// Stands for all others, with 0 as architecture.
    package static let others = UInt32.max

    package var number: UInt32
    /// AUDIT_ARCH_*.
    package var architecture: UInt32
    /// As the worker sees it.
    package var thread: UInt32
    package var programCounter: UInt64
    /// `argumentCount` of them.
    package var arguments: [UInt64]
    /// How often it was made.
    package var count: UInt64

    package init(
      number: UInt32, architecture: UInt32, thread: UInt32, programCounter: UInt64,
      arguments: [UInt64], count: UInt64
    ) {
      self.number = number
      self.architecture = architecture
      self.thread = thread
      self.programCounter = programCounter
      self.arguments = arguments
      self.count = count
    }

    package func isSame(_ other: Violation) -> Bool {
      number == other.number && architecture == other.architecture
    }
  }

  /// How the worker ended, and what it and its reaped children used.
  package struct Exit: Equatable, Sendable {
    /// 0…255, or -1 if a signal ended it.
    package var code: Int32 = -1
    package var signal: Int32 = 0
    package var dumpedCore = false
    /// Init killed it because the wall-clock limit was reached.
    package var wallLimit = false
    /// Init or the kernel killed it because the CPU limit was reached.
    package var cpuLimit = false
    /// Init killed it because it went on although it was paused.
    package var ranPaused = false
    /// Its processes had more memory together than the limit.
    package var memoryLimit = false
    /// It was killed because it made a call that is not its to make.
    package var blocked = false
    package var userMicroseconds: UInt64 = 0
    package var systemMicroseconds: UInt64 = 0
    /// Of the largest process.
    package var peakKiB: UInt64 = 0
    /// Of all together, as far as init saw it; 0 if it did not look.
    package var treePeakKiB: UInt64 = 0
    package init() {}
  }

  /// What the host tells init. To kill everything the host signals init's pidfd instead.
  package enum Order: Equatable, Sendable {
    /// Send `signal` to the worker, or to its whole process group.
    case signal(Int32, group: Bool)
    /// Stop every process of the worker until `resume`.
    case pause
    case resume
    /// Make the worker the foreground of its terminal, or put what is the foreground into the background.
    case foreground(Bool)
    /// Connect to a port of the worker's loopback, and send the socket.
    case dial(token: UInt32, port: UInt16)
    /// Open a file of the worker's view, and send the descriptor. Its path is what `text` brought since the last one.
    case open(token: UInt32, flags: UInt32)
    /// At most `textMax` bytes.
    case text([UInt8])
  }

  /// Bytes of one `text`.
  package static let textMax = 72
}

extension Control.Notice {
  package func encoded() -> [UInt8] {
    var packet = [UInt8](repeating: 0, count: Control.size)
    switch self {
    case .failed(let step, let errno, let call):
      packet[0] = 1
      let name = call.utf8.prefix(Control.nameMax)
      packet[1] = UInt8(truncatingIfNeeded: name.count)
      var at = Control.size - Control.nameMax
      for byte in name {
        packet[at] = byte
        at += 1
      }
      packet.store(step, at: 4)
      packet.store(UInt32(bitPattern: errno), at: 8)
    case .started: packet[0] = 2
    case .exited(let exit):
      packet[0] = 3
      packet[1] =
        (exit.dumpedCore ? 1 : 0) | (exit.wallLimit ? 2 : 0) | (exit.cpuLimit ? 4 : 0)
        | (exit.ranPaused ? 8 : 0) | (exit.blocked ? 32 : 0) | (exit.memoryLimit ? 64 : 0)
      packet.store(UInt32(bitPattern: exit.code), at: 4)
      packet.store(UInt32(bitPattern: exit.signal), at: 8)
      packet.store(exit.userMicroseconds, at: 16)
      packet.store(exit.systemMicroseconds, at: 24)
      packet.store(exit.peakKiB, at: 32)
      packet.store(exit.treePeakKiB, at: 40)
    case .terminal: packet[0] = 8
    case .suspended(let signal):
      packet[0] = 9
      packet.store(UInt32(bitPattern: signal), at: 4)
    case .denied(let violation):
      packet[0] = 10
      packet.store(violation.number, at: 4)
      packet.store(violation.architecture, at: 8)
      packet.store(violation.thread, at: 12)
      packet.store(violation.programCounter, at: 16)
      packet.store(violation.count, at: 24)
      for index in 0..<Control.Violation.argumentCount {
        packet.store(violation.arguments[index], at: 32 + 8 * index)
      }
    case .violationsUntold: packet[0] = 11
    case .descriptor(let token, let errno):
      packet[0] = 16
      packet.store(token, at: 4)
      packet.store(UInt32(bitPattern: errno), at: 8)
    }
    return packet
  }

  /// Nil for what no init of ours sends.
  package init?(decoding packet: [UInt8]) {
    guard packet.count == Control.size else { return nil }
    switch packet[0] {
    case 1:
      let start = Control.size - Control.nameMax
      guard Int(packet[1]) <= Control.nameMax else { return nil }
      let name = packet[start..<(start + Int(packet[1]))]
      guard name.allSatisfy({ (0x20...0x7E).contains($0) }) else { return nil }
      self = .failed(
        step: packet.load(at: 4), errno: Int32(bitPattern: packet.load(at: 8) as UInt32),
        call: String(decoding: name, as: UTF8.self))
    case 2: self = .started
    case 3:
      var exit = Control.Exit()
      exit.dumpedCore = packet[1] & 1 != 0
      exit.wallLimit = packet[1] & 2 != 0
      exit.cpuLimit = packet[1] & 4 != 0
      exit.ranPaused = packet[1] & 8 != 0
      exit.blocked = packet[1] & 32 != 0
      exit.memoryLimit = packet[1] & 64 != 0
      exit.code = Int32(bitPattern: packet.load(at: 4) as UInt32)
      exit.signal = Int32(bitPattern: packet.load(at: 8) as UInt32)
      exit.userMicroseconds = packet.load(at: 16)
      exit.systemMicroseconds = packet.load(at: 24)
      exit.peakKiB = packet.load(at: 32)
      exit.treePeakKiB = packet.load(at: 40)
      guard (-1...255).contains(exit.code), (0...64).contains(exit.signal) else { return nil }
      self = .exited(exit)
    case 8: self = .terminal
    case 9:
      let signal = Int32(bitPattern: packet.load(at: 4) as UInt32)
      guard (1...64).contains(signal) else { return nil }
      self = .suspended(signal: signal)
    case 10:
      var arguments: [UInt64] = []
      for index in 0..<Control.Violation.argumentCount {
        arguments.append(packet.load(at: 32 + 8 * index))
      }
      let violation = Control.Violation(
        number: packet.load(at: 4), architecture: packet.load(at: 8), thread: packet.load(at: 12),
        programCounter: packet.load(at: 16), arguments: arguments, count: packet.load(at: 24))
      guard violation.count > 0 else { return nil }
      self = .denied(violation)
    case 11: self = .violationsUntold
    case 16:
      let errno = Int32(bitPattern: packet.load(at: 8) as UInt32)
      guard (0...4095).contains(errno) else { return nil }
      self = .descriptor(token: packet.load(at: 4), errno: errno)
    default: return nil
    }
  }
}

extension Control.Order {
  package func encoded() -> [UInt8] {
    var packet = [UInt8](repeating: 0, count: Control.size)
    switch self {
    case .signal(let number, let group):
      packet[0] = 1
      packet[1] = group ? 1 : 0
      packet.store(UInt32(bitPattern: number), at: 4)
    case .pause: packet[0] = 2
    case .resume: packet[0] = 3
    case .foreground(let wanted):
      packet[0] = 8
      packet[1] = wanted ? 1 : 0
    case .dial(let token, let port):
      packet[0] = 16
      packet.store(token, at: 4)
      packet.store(port, at: 8)
    case .open(let token, let flags):
      packet[0] = 17
      packet.store(token, at: 4)
      packet.store(flags, at: 8)
    case .text(let bytes):
      packet[0] = 18
      let count = min(bytes.count, Control.textMax)
      packet[1] = UInt8(count)
      for index in 0..<count { packet[4 + index] = bytes[index] }
    }
    return packet
  }

  package init?(decoding packet: [UInt8]) {
    guard packet.count == Control.size else { return nil }
    switch packet[0] {
    case 1: self = .signal(Int32(bitPattern: packet.load(at: 4) as UInt32), group: packet[1] != 0)
    case 2: self = .pause
    case 3: self = .resume
    case 8: self = .foreground(packet[1] != 0)
    case 16: self = .dial(token: packet.load(at: 4), port: packet.load(at: 8))
    case 17: self = .open(token: packet.load(at: 4), flags: packet.load(at: 8))
    case 18:
      guard Int(packet[1]) <= Control.textMax else { return nil }
      self = .text(Array(packet[4..<(4 + Int(packet[1]))]))
    default: return nil
    }
  }
}

extension [UInt8] {
  fileprivate mutating func store<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    for index in 0..<(T.bitWidth / 8) {
      self[offset + index] = UInt8(truncatingIfNeeded: value >> T(index * 8))
    }
  }
  fileprivate func load<T: FixedWidthInteger>(at offset: Int) -> T {
    var value: T = 0
    for index in (0..<(T.bitWidth / 8)).reversed() {
      value = (value << 8) | T(truncatingIfNeeded: self[offset + index])
    }
    return value
  }
}
