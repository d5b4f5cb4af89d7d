// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(CSandbox)
  import CSandbox
#endif

/// What a filter checks of arguments, in instructions that stand before libseccomp's and fall
/// through to them.
///
/// By hand, because what is compared is half an argument: the kernel takes an ioctl's number and
/// clone's flags from the lower half and never looks at the upper, so a comparison of the whole is
/// walked around by setting a bit there (CVE-2019-10063).
struct SeccompPrologue {
  /// `struct sock_filter`: u16 code, u8 jump if true, u8 jump if false, u32 constant.
  private var instructions: [(code: UInt16, yes: UInt8, no: UInt8, k: UInt32)] = []

  // BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JSET|K, BPF_RET|K.
  private static let load: UInt16 = 0x20
  private static let equal: UInt16 = 0x15
  private static let anyBit: UInt16 = 0x45
  private static let give: UInt16 = 0x06

  /// - Parameter pass: where no program but the first may be executed: what the upper halves of
  ///   execveat's descriptor and flags must be. The kernel does not look at them; only init knows
  ///   it, and a worker cannot read its memory.
  static func instructions(pass: UInt64?) -> [UInt8] {
    var body = SeccompPrologue()
    // Put bytes into the terminal's input, as if typed (a host's shell reads them).
    body.block("ioctl") { block in
      block.loadLower(1)
      block.refuse(ifEqual: 0x5412)  // TIOCSTI
      block.refuse(ifEqual: 0x541C)  // TIOCLINUX
      block.refuse(ifEqual: 0x5423)  // TIOCSETD: rarely used line disciplines
    }
    // A lease on a file that the host opens makes that open(2) sleep until it is broken, again and again.
    body.block("fcntl") { block in
      block.loadLower(1)
      block.refuse(ifEqual: 1024)  // F_SETLEASE
      block.refuse(ifEqual: 1040)  // F_SETDELEG
      block.refuse(ifEqual: 1031)  // F_SETPIPE_SZ: pages that are charged to the host's user
    }
    // CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET: a user namespace gives
    // capabilities, and with them reach into parts of the kernel that ordinary users never see.
    body.block("clone") { block in
      block.loadLower(0)
      block.refuse(ifAny: 0x7E02_0000)
    }
    body.refuseSetIdBits()
    // A worker can send the host a connection and let it linger: the host's receive would close it, and wait for
    // up to eighteen hours. (Linux 6.16 lets the host refuse descriptors altogether, which it does.)
    body.block("setsockopt") { block in
      block.loadLower(1)
      block.skip(3, unlessEqual: 1)  // SOL_SOCKET
      block.loadLower(2)
      block.refuse(ifEqual: 13)  // SO_LINGER
    }
    body.protectInit()
    if let pass {
      body.block("execve") { block in block.refuse() }
      body.block("execveat") { block in
        block.loadUpper(0)
        block.refuse(unlessEqual: UInt32(truncatingIfNeeded: pass >> 32))
        block.loadUpper(4)
        block.refuse(unlessEqual: UInt32(truncatingIfNeeded: pass))
      }
    }
    var whole = SeccompPrologue()
    whole.emit(load, 4)
    whole.emit(equal, csandbox_native_architecture(), no: UInt8(body.instructions.count + 1))
    // Once, not in each block: at load the kernel tries the program with every call there is.
    whole.emit(load, 0)
    whole.instructions += body.instructions
    return whole.bytes
  }

  /// No set-user-id and no set-group-id bit on what lies in a folder of the machine: `nosuid` holds on the worker's
  /// own mount, and others reach the file by another.
  private mutating func refuseSetIdBits() {
    let bits: UInt32 = 0o6000
    for (name, mode) in [
      ("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1), ("mknod", 1),
      ("mknodat", 2),
    ] as [(String, UInt32)] {
      block(name) { block in
        block.loadLower(mode)
        block.refuse(ifAny: bits)
      }
    }
    for (name, flags) in [("open", 1), ("openat", 2)] as [(String, UInt32)] {
      block(name) { block in
        block.loadLower(flags)
        block.skip(3, unlessAny: 0x40_0040)  // O_CREAT, __O_TMPFILE: else there is no mode
        block.loadLower(flags + 1)
        block.refuse(ifAny: bits)
      }
    }
  }

  /// Init has the worker's user id, so the worker could starve it or take its limits: then the wall clock, orders and
  /// the report of the end come late or never.
  private mutating func protectInit() {
    for name in [
      "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "prlimit64",
    ] {
      block(name) { block in
        block.loadLower(0)
        block.refuse(ifEqual: 1)
      }
    }
    // Who is 1, or all of a user's: PRIO_USER, IOPRIO_WHO_USER.
    for (name, user) in [("setpriority", 2), ("ioprio_set", 3)] as [(String, UInt32)] {
      block(name) { block in
        block.loadLower(0)
        block.refuse(ifEqual: user)
        block.loadLower(1)
        block.refuse(ifEqual: 1)
      }
    }
  }

  private mutating func emit(_ code: UInt16, _ k: UInt32, yes: UInt8 = 0, no: UInt8 = 0) {
    instructions.append((code, yes, no, k))
  }

  /// Instructions for one call, whose number is loaded; what they do not refuse goes on behind them. Nothing where there
  /// is no such call.
  private mutating func block(_ name: String, _ build: (inout SeccompPrologue) -> Void) {
    let number = csandbox_call_number(name)
    guard number >= 0 else { return }
    var inner = SeccompPrologue()
    build(&inner)
    // The number again, for the blocks behind this one.
    inner.emit(SeccompPrologue.load, 0)
    emit(SeccompPrologue.equal, UInt32(number), no: UInt8(inner.instructions.count))
    instructions += inner.instructions
  }

  // struct seccomp_data: int nr, u32 arch, u64 instruction pointer, u64 args[6].
  private mutating func loadLower(_ argument: UInt32) {
    emit(SeccompPrologue.load, 16 + 8 * argument + (isLittleEndian ? 0 : 4))
  }
  private mutating func loadUpper(_ argument: UInt32) {
    emit(SeccompPrologue.load, 16 + 8 * argument + (isLittleEndian ? 4 : 0))
  }
  private var isLittleEndian: Bool { UInt16(1).littleEndian == 1 }

  /// Passes over the next `count` instructions of the block.
  private mutating func skip(_ count: UInt8, unlessEqual value: UInt32) {
    emit(SeccompPrologue.equal, value, no: count)
  }
  private mutating func skip(_ count: UInt8, unlessAny bits: UInt32) {
    emit(SeccompPrologue.anyBit, bits, no: count)
  }
  private mutating func refuse() {
    emit(SeccompPrologue.give, csandbox_errno(UInt32(EPERM)))
  }
  private mutating func refuse(ifEqual value: UInt32) {
    emit(SeccompPrologue.equal, value, no: 1)
    refuse()
  }
  private mutating func refuse(unlessEqual value: UInt32) {
    emit(SeccompPrologue.equal, value, yes: 1)
    refuse()
  }
  private mutating func refuse(ifAny bits: UInt32) {
    emit(SeccompPrologue.anyBit, bits, no: 1)
    refuse()
  }

  private var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for instruction in instructions {
      withUnsafeBytes(of: instruction.code) { bytes.append(contentsOf: $0) }
      bytes.append(instruction.yes)
      bytes.append(instruction.no)
      withUnsafeBytes(of: instruction.k) { bytes.append(contentsOf: $0) }
    }
    return bytes
  }
}
