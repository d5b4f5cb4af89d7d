// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif

/// One control group, for one worker at a time. It is removed by `remove`, not when the object goes: a forked child of
/// the host has a copy of that.
final class ControlGroup {
  enum Kind: Equatable, Sendable {
    /// A controller of version 1.
    case memory, cpu, share, processes
    /// Version 2, where one group has them all.
    case unified
  }

  let kind: Kind
  let path: String
  /// Bytes of memory, thousandths of a processor, and a count of processes; 0: no limit.
  let memory: UInt64
  let share: UInt64
  let processes: UInt64
  /// What init is given, in the order that the plan has.
  private(set) var descriptors: [Int32] = []

  /// - Throws: `mkdir` where the host may make no group.
  init(
    _ kind: Kind, at path: String, memory: UInt64, share: UInt64, processes: UInt64
  ) throws(KernelError) {
    self.kind = kind
    self.path = path
    self.memory = memory
    self.share = share
    self.processes = processes
    try check("mkdir", lx_mkdirat(AT_FDCWD, path, 0o755))
    do throws(KernelError) {
      try setUp()
      try open()
    } catch {
      close()
      _ = lx_rmdir(path)
      throw error
    }
  }

  deinit { close() }

  /// A host keeps none of them open beside those of init.
  func close() {
    for descriptor in descriptors { _ = lx_close(descriptor) }
    descriptors = []
  }

  private func setUp() throws(KernelError) {
    switch kind {
    case .memory:
      try write("memory.limit_in_bytes", "\(memory)")
      // With swap: what is over the limit is not to go there. Second, since it may not be less than the first.
      try write("memory.memsw.limit_in_bytes", "\(memory)", orIsNotThere: true)
    case .cpu, .share:
      // Microseconds of processors in each tenth of a second.
      if share > 0 { try write("cpu.cfs_quota_us", "\(share * 100)") }
    case .processes: try write("pids.max", "\(processes)")
    case .unified:
      if memory > 0 {
        try write("memory.max", "\(memory)")
        try write("memory.swap.max", "0", orIsNotThere: true)
        try write("memory.oom.group", "1")
      }
      if share > 0 { try write("cpu.max", "\(share * 100) 100000") }
      if processes > 0 { try write("pids.max", "\(processes)") }
    }
  }

  /// What the worker goes in by. Of version 1 it is `tasks`: a process of one thread that moves itself waits for nobody there,
  /// where the kernel lets `cgroup.procs` wait for a grace period of RCU, 5 to 20 ms.
  private var entrance: StaticString { kind == .unified ? "cgroup.procs" : "tasks" }

  /// What init is given.
  private func open() throws(KernelError) {
    try keep(entrance, O_WRONLY)
    switch kind {
    case .memory:
      try keep("memory.oom_control", O_RDONLY)
      try hangBell()
    case .cpu: try keep("cpuacct.usage", O_RDONLY)
    case .share, .processes: break
    case .unified:
      try keep("memory.events", O_RDONLY, orIsNotThere: memory == 0)
      try keep("cpu.stat", O_RDONLY)
    }
  }

  /// An eventfd that the kernel rings when this group, or one above it, has no memory to give.
  private func hangBell() throws(KernelError) {
    var bell = OwnedFD(adopting: Int32(try check("eventfd", lx_eventfd())))
    bell.move(from: Worker.leastDescriptor)
    let line = "\(bell.raw) \(descriptors[1])"
    descriptors.append(bell.release())
    try write("cgroup.event_control", line)
  }

  private func open(_ name: StaticString, _ flags: Int32) throws(KernelError) -> OwnedFD {
    OwnedFD(
      adopting: Int32(try check("open", lx_open("\(path)/\(name)", flags | O_CLOEXEC, 0))))
  }

  private func keep(
    _ name: StaticString, _ flags: Int32, orIsNotThere: Bool = false
  ) throws(KernelError) {
    // Where there is none, init gets something that it does not look at.
    let isThere = !orIsNotThere || lx_access("\(path)/\(name)", 0) == 0
    var file = try open(isThere ? name : entrance, flags)
    file.move(from: Worker.leastDescriptor)
    descriptors.append(file.release())
  }

  private func write(
    _ name: StaticString, _ text: String, orIsNotThere: Bool = false
  ) throws(KernelError) {
    let fd = lx_open("\(path)/\(name)", O_WRONLY | O_CLOEXEC, 0)
    if fd == -Int(ENOENT) && orIsNotThere { return }
    let file = OwnedFD(adopting: Int32(try check("open", fd)))
    try check("write", lx_write(file.raw, text, text.utf8.count))
  }

  /// The folder, for a process to be born in.
  func folder() throws(KernelError) -> OwnedFD {
    let flags = O_PATH | O_DIRECTORY | O_CLOEXEC
    return OwnedFD(adopting: Int32(try check("open", lx_open(path, flags, 0))))
  }

  // MARK: After a worker

  /// Of version 2: that the kernel has ended all for want of memory in this group, and CPU time so far in microseconds, if it
  /// has. (It ends all together too when a group above, or the machine, has none.)
  func endedForMemory() -> (user: UInt64, system: UInt64)? {
    guard kind == .unified, memory > 0 else { return nil }
    let events = Circumstances.text("\(path)/memory.events")
    guard ControlGroup.number(behind: "oom ", in: events) > 0,
      ControlGroup.number(behind: "oom_kill ", in: events) > 0
    else { return nil }
    let usage = Circumstances.text("\(path)/cpu.stat")
    return (
      ControlGroup.number(behind: "user_usec ", in: usage),
      ControlGroup.number(behind: "system_usec ", in: usage)
    )
  }

  private static func number(behind key: StaticString, in text: String) -> UInt64 {
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
      guard line.count > key.utf8CodeUnitCount,
        key.withUTF8Buffer({ line.starts(with: $0) })
      else { continue }
      return line.dropFirst(key.utf8CodeUnitCount).reduce(0) {
        $0 &* 10 &+ UInt64($1 &- UInt8(ascii: "0"))
      }
    }
    return 0
  }

  /// The most memory that its processes had together, bytes; 0 if it is not known.
  var peak: UInt64 {
    switch kind {
    case .memory: number("memory.max_usage_in_bytes")
    case .unified: number("memory.peak")
    case .cpu, .share, .processes: 0
    }
  }

  private func number(_ name: StaticString) -> UInt64 {
    let fd = lx_open("\(path)/\(name)", O_RDONLY | O_CLOEXEC, 0)
    guard fd >= 0 else { return 0 }
    let file = OwnedFD(adopting: Int32(fd))
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { buffer in
      let count = lx_read(file.raw, buffer.baseAddress, buffer.count)
      var value: UInt64 = 0
      for index in 0..<max(0, count) {
        let digit = UInt64(buffer[index] &- UInt8(ascii: "0"))
        guard digit < 10 else { break }
        value = value &* 10 &+ digit
      }
      return value
    }
  }

  /// Make it as new for another worker with the same limits; false if it is not to be used again. Worth it for the
  /// controller that is dear to make alone.
  func renew() -> Bool {
    // That count cannot be taken back.
    guard holds(Circumstances.text("\(path)/memory.oom_control"), "oom_kill 0") else {
      return false
    }
    // What was read from files stays charged until somebody needs the room: with much of it the next would begin with less.
    guard kind == .memory, number("memory.usage_in_bytes") <= min(memory / 16, 16 << 20) else {
      return false
    }
    do throws(KernelError) { try write("memory.max_usage_in_bytes", "0") } catch { return false }
    return true
  }

  /// For another worker, which init is told of by descriptors of its own.
  func begin() throws(KernelError) {
    close()
    try open()
  }

  /// False while the kernel still has a process in it that has ended.
  func remove() -> Bool {
    close()
    return lx_rmdir(path) != -Int(EBUSY)
  }
}
