// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// What the worker's processes have of memory together, where no control group counts it.
///
/// First what every process tells of itself to everybody, each page counted as often as it is mapped and each shared or
/// unwritable mapping as if it were full: a bound from above, which is cheap and mostly below the limit. Where it is not,
/// it is counted exactly, as far as init may look: who hides (by being not dumpable) is counted by the bound.
struct MemorySum {
  /// Of the worker's own memory filesystems and System V objects.
  private let places: MemoryPlaces
  /// The most seen, bytes.
  private(set) var peak: UInt64 = 0
  /// The arena: its mappings say how large it is, and not what of it is filled.
  private let arena: lx_arena

  /// - Parameter arena: the arena's descriptor; -1 where nothing will be counted.
  init(_ places: MemoryPlaces, arena: Int32) {
    self.places = places
    self.arena = arena < 0 ? lx_arena() : lx_arena_look(arena)
  }

  /// Bytes; at most `limit` if that can be shown.
  mutating func count(_ processes: borrowing Processes, limit: UInt64) -> UInt64 {
    let elsewhere = outsideOfProcesses()
    var seen = elsewhere
    var bound = elsewhere
    processes.each { pid in
      processes.eachMemory(pid) {
        seen &+= $0.own &+ $0.sharedResident
        bound &+= $0.own &+ $0.shared
      }
    }
    peak = max(peak, min(seen, limit))
    if bound <= limit { return bound }
    let exact = elsewhere &+ exactly(processes)
    peak = max(peak, exact)
    return exact
  }

  /// What no mapping shows, and whatever is mapped of it.
  private func outsideOfProcesses() -> UInt64 {
    var bytes: UInt64 = 0
    if places.contains(.temporary) { bytes &+= MemorySum.used("/tmp") }
    if places.contains(.shared) { bytes &+= MemorySum.used("/dev/shm") }
    if places.contains(.home) { bytes &+= MemorySum.used("/home/worker") }
    // What the worker wrote there; what its host did is the host's.
    bytes &+= UInt64(max(0, lx_arena_filled(InitDescriptor.arena, arena)))
    if places.contains(.systemV) { bytes &+= UInt64(max(0, lx_system_v_bytes())) }
    return bytes
  }

  private static func used(_ path: StaticString) -> UInt64 {
    var bytes: UInt64 = 0
    return lx_used_bytes(path.cString, &bytes) == 0 ? bytes : 0
  }

  private func exactly(_ processes: borrowing Processes) -> UInt64 {
    var bytes: UInt64 = 0
    withUnsafeTemporaryAllocation(of: SharedMemory.Object.self, capacity: SharedMemory.most) {
      var shared = SharedMemory(objects: $0, counted: arena.inode)
      processes.each { pid in
        processes.eachMemory(pid) { bytes &+= processes.exactly($0, &shared) }
      }
      bytes &+= shared.bytes
    }
    return bytes
  }
}

/// Memory that processes share and that has no name: each piece is counted once, as large as it is mapped, since nothing
/// tells how much of it is filled by whom.
struct SharedMemory {
  struct Object {
    var inode: UInt64
    var end: UInt64
  }
  /// More are counted as often as they are mapped.
  static let most = 256
  /// Lines that one look reads: then processes are counted by the bound.
  private var linesLeft = 200_000
  private let objects: UnsafeMutableBufferPointer<Object>
  private var count = 0
  private(set) var bytes: UInt64 = 0

  /// Counted elsewhere.
  private let counted: UInt64

  init(objects: UnsafeMutableBufferPointer<Object>, counted: UInt64) {
    self.objects = objects
    self.counted = counted
  }

  mutating func canRead() -> Bool {
    linesLeft -= 1
    return linesLeft > 0
  }

  /// - Parameter end: of what is mapped of it, from its beginning.
  mutating func add(_ inode: UInt64, end: UInt64) {
    if inode == counted { return }
    for index in 0..<count where objects[index].inode == inode {
      bytes &+= end &- min(end, objects[index].end)
      objects[index].end = max(end, objects[index].end)
      return
    }
    bytes &+= end
    guard count < objects.count else { return }
    objects.initializeElement(at: count, to: Object(inode: inode, end: end))
    count += 1
  }
}

/// What everybody may read of a process's memory, bytes.
struct MemoryFigures {
  var pid: Int32
  var parent: Int32
  /// Private pages that are in memory or swapped out, page tables, huge pages.
  var own: UInt64
  var tables: UInt64
  var huge: UInt64
  /// All mappings that are neither private and writable nor a stack.
  var shared: UInt64
  var sharedResident: UInt64
  var size: UInt64
}

extension Processes {
  /// The memory of a process. One whose first thread has ended shows none: then one of the others has it.
  func eachMemory(_ pid: Int32, _ body: (MemoryFigures) -> Void) {
    if let figures = figures(pid) { return body(figures) }
    var found: MemoryFigures?
    eachThread(of: pid) { if found == nil { found = figures($0) } }
    if let found { body(found) }
  }

  /// Nil of who has no memory (any more).
  private func figures(_ pid: Int32) -> MemoryFigures? {
    reading(pid, "/status") { text in
      guard let size = Processes.kibibytes("\nVmSize:", text) else { return nil }
      func of(_ key: StaticString) -> UInt64 { Processes.kibibytes(key, text) ?? 0 }
      let tables = of("\nVmPTE:")
      let huge = of("\nHugetlbPages:")
      let private_ = of("\nVmData:") &+ of("\nVmStk:")
      return MemoryFigures(
        pid: pid, parent: Int32(truncatingIfNeeded: of("\nPPid:") >> 10),
        own: of("\nRssAnon:") &+ of("\nVmSwap:") &+ tables &+ huge, tables: tables, huge: huge,
        shared: size &- min(size, private_), sharedResident: of("\nRssShmem:"), size: size)
    } ?? nil
  }

  /// Counted page by page, but for what others map as well; the nameless shared memory goes into `shared`.
  func exactly(_ figures: MemoryFigures, _ shared: inout SharedMemory) -> UInt64 {
    // After vfork, and until its exec, a child has its parent's memory.
    if figures.parent > 1 && lx_have_same_memory(figures.pid, figures.parent) == 1 { return 0 }
    let own = reading(figures.pid, "/smaps_rollup") { text -> UInt64? in
      guard let anonymous = Processes.kibibytes("\nPss_Anon:", text) else { return nil }
      return anonymous &+ (Processes.kibibytes("\nSwapPss:", text) ?? 0)
    }
    let sum = own.flatMap { $0 }.map { $0 &+ figures.tables &+ figures.huge } ?? figures.own
    return readMappings(figures.pid, &shared) ? sum : sum &+ figures.shared
  }

  /// Takes up the nameless shared memory that a process maps. False if that cannot be read to the end.
  private func readMappings(_ pid: Int32, _ shared: inout SharedMemory) -> Bool {
    let file = open(pid, "/maps")
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 8192) { buffer in
      var kept = 0
      while true {
        let count = lx_read(file.raw, buffer.baseAddress! + kept, buffer.count - kept)
        guard count >= 0 else { return false }
        if count == 0 { return true }
        let end = kept + count
        var start = 0
        while let line = MapsLine.next(buffer, &start, end) {
          guard shared.canRead() else { return false }
          if line.isNamelessAndShared { shared.add(line.inode, end: line.end) }
        }
        // A line is shorter than the buffer: a path has 4,096 bytes at most.
        kept = end - start
        for index in 0..<kept { buffer[index] = buffer[start + index] }
        guard kept < buffer.count else { return false }
      }
    }
  }

  /// "\nKey:\t  123 kB" as bytes.
  private static func kibibytes(
    _ key: StaticString, _ text: UnsafeBufferPointer<UInt8>
  ) -> UInt64? {
    guard var at = value(of: key, in: text) else { return nil }
    while at < text.count, text[at] == UInt8(ascii: " ") || text[at] == UInt8(ascii: "\t") {
      at += 1
    }
    var number: UInt64 = 0
    while at < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[at]) {
      number = number &* 10 &+ UInt64(text[at] - UInt8(ascii: "0"))
      at += 1
    }
    return number << 10
  }
}

/// A line of maps: "7f00-7f10 rw-s 00001000 00:01 4242     /dev/zero (deleted)".
private struct MapsLine {
  var inode: UInt64
  /// The end of what is mapped, in the file.
  var end: UInt64
  var isNamelessAndShared: Bool

  /// The line from `start` on, which is moved behind it; nil if there is no whole one.
  static func next(
    _ text: UnsafeMutableBufferPointer<UInt8>, _ start: inout Int, _ end: Int
  ) -> MapsLine? {
    var stop = start
    while stop < end, text[stop] != UInt8(ascii: "\n") { stop += 1 }
    guard stop < end else { return nil }
    var at = start
    start = stop + 1
    func number(_ radix: UInt64) -> UInt64 {
      var value: UInt64 = 0
      while at < stop, let digit = hexadecimal(text[at]) {
        value = value &* radix &+ digit
        at += 1
      }
      at += 1
      return value
    }
    let from = number(16)
    let to = number(16)
    let isShared = at + 3 < stop && text[at + 3] == UInt8(ascii: "s")
    at += 5
    let offset = number(16)
    _ = number(16)
    _ = number(16)
    let inode = number(10)
    while at < stop, text[at] == UInt8(ascii: " ") { at += 1 }
    let path = UnsafeBufferPointer(rebasing: text[at..<max(at, stop)])
    return MapsLine(
      inode: inode, end: offset &+ to &- from,
      isNamelessAndShared: isShared && isNameless(path))
  }

  private static func hexadecimal(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
    default: nil
    }
  }

  /// System V's memory and files are counted where they are.
  private static func isNameless(_ path: UnsafeBufferPointer<UInt8>) -> Bool {
    begins(path, "/dev/zero (deleted)") || begins(path, "[anon_shmem:") || begins(path, "/memfd:")
      || begins(path, "/anon_hugepage")
  }

  private static func begins(_ path: UnsafeBufferPointer<UInt8>, _ part: StaticString) -> Bool {
    path.count >= part.utf8CodeUnitCount
      && memcmp(path.baseAddress!, part.utf8Start, part.utf8CodeUnitCount) == 0
  }
}
