// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// The page that a worker can read and only the host can write: which calls are in flight, and how often each was
/// asked to stop. docs/protocol.md describes its bytes.
final class ControlPage {
  private static let size = 4096
  private static let slotSize = 16
  /// Nil where it may not be mapped.
  private let memory: UnsafeMutableRawPointer?
  /// Instead of the mapping.
  private var file: OwnedFD?
  private var free: [UInt16]

  /// Makes the page; `descriptor` is what the worker gets. Not a throwing `init`: see `Host.make`.
  static func make(descriptor: inout OwnedFD?) throws(KernelError) -> ControlPage {
    let fd = OwnedFD(
      adopting: Int32(try check(LaunchStage.memory, lx_unnamed_file("lauter-page"))))
    try check("ftruncate", lx_ftruncate(fd.raw, Int64(ControlPage.size)))
    var header: [UInt8] = []
    for shift: UInt32 in [0, 8, 16, 24] {
      header.append(UInt8(truncatingIfNeeded: Wire.magic >> shift))
    }
    header.append(contentsOf: [1, 0, 0, 1])  // The version, and 256 slots.
    try header.withUnsafeBufferPointer { (bytes) throws(KernelError) in
      _ = try check("pwrite", lx_pwrite(fd.raw, bytes.baseAddress, bytes.count, 0))
    }
    guard lx_can_be_sealed(fd.raw) != 0 else {
      // A worker with its host's user id may find a way to truncate it, and a mapping would end the host then.
      descriptor = OwnedFD(
        adopting: Int32(try check("open /proc/self/fd", lx_reopen_for_reader(fd.raw))))
      return ControlPage(nil, fd)
    }
    guard let memory = lx_map_shared(fd.raw, ControlPage.size) else {
      throw KernelError(call: "mmap", errno: 12)
    }
    let page = ControlPage(memory, nil)
    // The mapping above stays writable; no other can be made, however the worker opens the page again.
    try check("fcntl F_ADD_SEALS", lx_seal_for_reader(fd.raw))
    descriptor = consume fd
    return page
  }

  private init(_ memory: UnsafeMutableRawPointer?, _ file: consuming OwnedFD?) {
    self.memory = memory
    self.file = file
    // Low slots first: they share cache lines.
    free = (1..<UInt16(ControlPage.size / ControlPage.slotSize)).reversed()
  }

  deinit { if let memory { lx_unmap(memory, ControlPage.size) } }

  /// A slot for call `id`, nil when all are taken.
  func take(for id: UInt64) -> UInt16? {
    guard let slot = free.popLast() else { return nil }
    let at = Int(slot) * ControlPage.slotSize
    if let memory {
      lx_store_release_32(memory + at + 8, 0)
      lx_store_release_64(memory + at, id.littleEndian)
    } else {
      lx_write_slot(file.raw, Int64(at), id)
    }
    return slot
  }

  /// Asks the call in `slot` to stop, once more.
  func request(_ slot: UInt16) {
    let at = Int(slot) * ControlPage.slotSize + 8
    if let memory {
      lx_increment_32(memory + at)
    } else {
      lx_write_increment(file.raw, Int64(at))
    }
  }

  func release(_ slot: UInt16) {
    let at = Int(slot) * ControlPage.slotSize
    if let memory {
      lx_store_release_64(memory + at, 0)
    } else {
      lx_write_slot(file.raw, Int64(at), 0)
    }
    free.append(slot)
  }
}
