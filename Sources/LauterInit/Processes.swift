// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif

/// The worker's processes, as a /proc shows them to init. Nothing that is read there is kept, so init's memory does not
/// grow.
struct Processes: ~Copyable {
  private let proc: OwnedFD
  /// Where it is the machine's /proc: who is not the worker's, though signals can be sent there.
  var guardian: Int32?

  /// - Parameters:
  ///   - proc: the folder of a /proc; nil where the plan mounted none, and nobody can be seen.
  ///   - guardian: init's guard, if it has one: the /proc is the machine's then, and those processes are the worker's that
  ///     signals can be sent to.
  init(_ proc: consuming OwnedFD?, guardian: Int32?) {
    self.guardian = guardian
    switch consume proc {
    case .some(let proc): self.proc = proc
    case .none: self.proc = OwnedFD(adopting: -1)
    }
  }

  var areSeen: Bool { proc.raw >= 0 }

  /// For init, which closes what it does not know.
  var descriptor: Int32 { proc.raw }

  // MARK: CPU time

  /// Nanoseconds of CPU time that the worker's processes have used together, the reaped ones included. Children of a
  /// parent that ignores SIGCHLD vanish from it when they end: the kernel adds them to nobody.
  func used() -> UInt64 {
    var usage = lx_usage()
    _ = lx_usage_of_children(&usage)
    var total = (usage.user_us &+ usage.system_us) &* 1000
    each { pid in
      // Parents come before their children, mostly: one that ends and is reaped meanwhile is then counted too late
      // rather than twice.
      total &+= ofReapedChildren(pid)
      var own: UInt64 = 0
      if lx_process_cpu(pid, &own) == 0 { total &+= own }
    }
    return total
  }

  /// The kernel counts in these for /proc, whatever its clock.
  private static let tick: UInt64 = 10_000_000

  /// `cutime` and `cstime`, the 16th and the 17th field of stat.
  private func ofReapedChildren(_ pid: Int32) -> UInt64 {
    reading(proc.raw, pid, "/stat") { text in
      // The second is a name of the process's choice, brackets and spaces not excepted; behind it are numbers.
      guard let name = text.lastIndex(of: UInt8(ascii: ")")) else { return 0 }
      var field = 2
      var ticks: UInt64 = 0
      var number: UInt64 = 0
      for byte in text[(name + 1)...] {
        if byte == UInt8(ascii: " ") {
          if field == 16 || field == 17 { ticks &+= number }
          if field == 17 { break }
          field += 1
          number = 0
        } else {
          number = number &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
        }
      }
      return ticks &* Processes.tick
    } ?? 0
  }

  // MARK: Pausing

  /// Whether a process was stopped already when it was last sent SIGSTOP: it waits for it still, since only what runs
  /// takes a signal. What SIGSTOP has stopped does not wait for it any more.
  func wasStopped(_ pid: Int32) -> Bool {
    let (state, waits) = look(pid)
    return state == .stopped && waits
  }

  /// Whether a process runs, or could, and has not been told to stop.
  func runsOn(_ pid: Int32) -> Bool {
    let (state, waits) = look(pid)
    return state == .awake && !waits
  }

  /// How many have not stopped yet: those that run or will when they are woken, and those that sleep until the kernel is
  /// done.
  func restless() -> (running: Int, waiting: Int) {
    var count = (running: 0, waiting: 0)
    each { pid in
      switch look(pid).state {
      case .awake: count.running += 1
      case .waiting: count.waiting += 1
      case .stopped, .gone: break
      }
    }
    return count
  }

  /// From the least to the most that it can do.
  private enum State: Int {
    case gone
    case stopped
    /// Until the kernel is done, or what it made by vfork executes a program.
    case waiting
    case awake
  }

  /// What a process is at, and whether a SIGSTOP waits to be taken. A first thread that is stopped speaks for all, since
  /// signals stop and continue a process whole; one that has exited, or waits for what it made by vfork, says nothing of
  /// the others.
  private func look(_ pid: Int32) -> (state: State, waits: Bool) {
    let first = reading(proc.raw, pid, "/status") { text in
      (Processes.state(text), Processes.hasPending(text, SIGSTOP))
    }
    guard let (firstState, waits) = first else { return (.gone, false) }
    var state = firstState
    guard state == .gone || state == .waiting else { return (state, waits) }
    let threads = open(proc.raw, pid, "/task", O_DIRECTORY)
    numbers(in: threads.raw) { thread in
      guard state != .awake else { return }
      let other = reading(threads.raw, thread, "/status") { Processes.state($0) } ?? .gone
      if other.rawValue > state.rawValue { state = other }
    }
    return (state, waits)
  }

  private static func state(_ status: UnsafeBufferPointer<UInt8>) -> State {
    guard let at = value(of: "\nState:\t", in: status) else { return .gone }
    switch status[at] {
    case UInt8(ascii: "R"), UInt8(ascii: "S"): return .awake
    case UInt8(ascii: "D"): return .waiting
    case UInt8(ascii: "T"): return .stopped
    default: return .gone
    }
  }

  /// Whether a signal to the whole process waits to be taken.
  private static func hasPending(_ status: UnsafeBufferPointer<UInt8>, _ signal: Int32) -> Bool {
    guard let at = value(of: "\nShdPnd:\t", in: status) else { return false }
    var mask: UInt64 = 0
    for byte in status[at...] {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        mask = mask << 4 | UInt64(byte - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"):
        mask = mask << 4 | UInt64(byte - UInt8(ascii: "a") + 10)
      default: return mask >> UInt64(signal - 1) & 1 != 0
      }
    }
    return false
  }

  /// Where the value of a line begins. (In a process's name the kernel writes a line's end as two characters.)
  static func value(of key: StaticString, in text: UnsafeBufferPointer<UInt8>) -> Int? {
    let size = key.utf8CodeUnitCount
    guard text.count > size else { return nil }
    for start in 0..<(text.count - size) {
      var same = 0
      while same < size, text[start + same] == key.utf8Start[same] { same += 1 }
      if same == size { return start + size }
    }
    return nil
  }

  // MARK: Reading

  /// Every process but init, in the order of their numbers.
  func each(_ body: (Int32) -> Void) {
    guard lx_rewind(proc.raw) >= 0 else { return }
    numbers(in: proc.raw) { if $0 > 1 && isWorkers($0) { body($0) } }
  }

  /// Every thread of a process but the first.
  func eachThread(of pid: Int32, _ body: (Int32) -> Void) {
    let threads = open(proc.raw, pid, "/task", O_DIRECTORY)
    numbers(in: threads.raw) { if $0 != pid { body($0) } }
  }

  /// The numbers among the names that are still to be read of a folder.
  private func numbers(in folder: Int32, _ body: (Int32) -> Void) {
    withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 8) { buffer in
      while true {
        let size = lx_getdents(folder, buffer.baseAddress, buffer.count)
        guard size > 0 else { return }
        var at = 0
        // A record's length, then a byte, then its name.
        while at + 19 < size {
          let length = Int(buffer.loadUnaligned(fromByteOffset: at + 16, as: UInt16.self))
          var pid: Int32 = 0
          for byte in buffer[(at + 19)...] {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), pid < 100_000_000 else {
              if byte != 0 { pid = 0 }
              break
            }
            pid = pid * 10 + Int32(byte - UInt8(ascii: "0"))
          }
          if pid > 0 { body(pid) }
          guard length > 0 else { return }
          at += length
        }
      }
    }
  }

  private func isWorkers(_ pid: Int32) -> Bool {
    guard let guardian else { return true }
    return pid != guardian && pid != Int32(lx_getpid()) && lx_kill(pid, 0) == 0
  }

  /// Hands `body` what is in a file of a process or thread; nil if it is gone. A status has its signals behind its
  /// groups: there is room for more than a thousand.
  private func reading<R>(
    _ folder: Int32, _ number: Int32, _ name: StaticString,
    _ body: (UnsafeBufferPointer<UInt8>) -> R
  ) -> R? {
    let file = open(folder, number, name, 0)
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16384) { buffer in
      let count = lx_read(file.raw, buffer.baseAddress, buffer.count)
      guard count > 0 else { return nil }
      return body(UnsafeBufferPointer(rebasing: buffer[..<count]))
    }
  }

  /// The same, of a process or of a thread by its own number.
  func reading<R>(
    _ pid: Int32, _ name: StaticString, _ body: (UnsafeBufferPointer<UInt8>) -> R
  ) -> R? {
    reading(proc.raw, pid, name, body)
  }

  func open(_ pid: Int32, _ name: StaticString) -> OwnedFD { open(proc.raw, pid, name, 0) }

  /// -1 if it cannot be opened, with which every call fails.
  private func open(
    _ folder: Int32, _ number: Int32, _ name: StaticString, _ flags: Int32
  ) -> OwnedFD {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { path in
      var end = 11
      var rest = number
      repeat {
        end -= 1
        path[end] = CChar(rest % 10) + 48
        rest /= 10
      } while rest > 0
      for index in 0..<name.utf8CodeUnitCount {
        path[11 + index] = CChar(name.utf8Start[index])
      }
      path[11 + name.utf8CodeUnitCount] = 0
      let fd = lx_openat(folder, path.baseAddress! + end, O_RDONLY | O_CLOEXEC | flags, 0)
      return OwnedFD(adopting: fd >= 0 ? Int32(fd) : -1)
    }
  }
}
