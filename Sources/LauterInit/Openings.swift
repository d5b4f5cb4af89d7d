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

/// What the host wants opened from within the worker's namespaces. Init has no capability there and the worker's user id;
/// what Landlock and the filter keep from the worker beyond that, the host does not ask for (`Host+Openings.swift`).
struct Openings {
  /// Of a path, as far as it has come. Bounded as a path is.
  private var path: [UInt8] = []

  mutating func add(_ text: [UInt8]) {
    guard path.count + text.count < Int(LX_PATH_MAX) else { return }
    path.append(contentsOf: text)
  }

  mutating func open(_ token: UInt32, _ flags: UInt32) {
    path.append(0)
    // Nothing of this waits: not for the other end of a FIFO, nor for who has a lease. What is no file is not even looked into.
    let mode: UInt64 = flags & UInt32(O_CREAT) != 0 ? 0o644 : 0
    let wanted = UInt64(flags) | UInt64(UInt32(O_NONBLOCK | O_NOCTTY | O_CLOEXEC))
    let result = path.withUnsafeBufferPointer { bytes in
      bytes.withMemoryRebound(to: CChar.self) {
        lx_open_plain(lx_openat2(AT_FDCWD, $0.baseAddress, wanted, mode, LX_RESOLVE_NOTHING_ODD))
      }
    }
    path = []
    Openings.answer(token, result)
  }

  func dial(_ token: UInt32, _ port: UInt16) { Openings.answer(token, lx_dial_loopback(port)) }

  /// The host has as many requests under way as its socket holds answers: init does not wait for it.
  private static func answer(_ token: UInt32, _ result: Int) {
    let file = OwnedFD(adopting: result >= 0 ? Int32(result) : -1)
    let errno = result >= 0 ? 0 : Int32(-result)
    let packet = Control.Notice.descriptor(token: token, errno: errno).encoded()
    if file.raw >= 0 {
      _ = lx_send_descriptor_now(InitDescriptor.control, packet, packet.count, file.raw)
    } else {
      _ = lx_send_packet_now(InitDescriptor.control, packet, packet.count)
    }
  }
}
