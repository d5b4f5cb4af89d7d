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
  private let memory: UnsafeMutableRawPointer
  private var free: [UInt16]

  /// Makes the page; `descriptor` is what the worker gets. Not a throwing `init`: see `Host.make`.
  static func make(descriptor: inout OwnedFD?) throws(KernelError) -> ControlPage {
    let fd = OwnedFD(adopting: Int32(try check("memfd_create", lx_memfd_create("lauter-page"))))
    try check("ftruncate", lx_ftruncate(fd.raw, Int64(ControlPage.size)))
    guard let memory = lx_map_shared(fd.raw, ControlPage.size) else {
      throw KernelError(call: "mmap", errno: 12)
    }
    let page = ControlPage(memory)
    memory.storeBytes(of: Wire.magic.littleEndian, toByteOffset: 0, as: UInt32.self)
    memory.storeBytes(of: UInt16(1).littleEndian, toByteOffset: 4, as: UInt16.self)
    memory.storeBytes(of: UInt16(256).littleEndian, toByteOffset: 6, as: UInt16.self)
    // The mapping above stays writable; no other can be made, however the worker opens the page again.
    try check("fcntl F_ADD_SEALS", lx_seal_for_reader(fd.raw))
    descriptor = consume fd
    return page
  }

  private init(_ memory: UnsafeMutableRawPointer) {
    self.memory = memory
    // Low slots first: they share cache lines.
    free = (1..<UInt16(ControlPage.size / ControlPage.slotSize)).reversed()
  }

  deinit { lx_unmap(memory, ControlPage.size) }

  /// A slot for call `id`, nil when all are taken.
  func take(for id: UInt64) -> UInt16? {
    guard let slot = free.popLast() else { return nil }
    let at = memory + Int(slot) * ControlPage.slotSize
    lx_store_release_32(at + 8, 0)
    lx_store_release_64(at, id.littleEndian)
    return slot
  }

  /// Asks the call in `slot` to stop, once more.
  func request(_ slot: UInt16) { lx_increment_32(memory + Int(slot) * ControlPage.slotSize + 8) }

  func release(_ slot: UInt16) {
    lx_store_release_64(memory + Int(slot) * ControlPage.slotSize, 0)
    free.append(slot)
  }
}
