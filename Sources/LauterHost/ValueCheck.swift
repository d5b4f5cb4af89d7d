// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterWire)
  package import LauterWire
#endif

extension Value {
  /// Checks parts as `check(_:seed:)` does, and says what is wrong as the header does.
  package static func check(_ parts: UnsafeBufferPointer<MessagePart>) throws(HostError) {
    var seed: (UInt64, UInt64) = (0, 0)
    let count = withUnsafeMutableBytes(of: &seed) { lx_getrandom($0.baseAddress, $0.count) }
    guard count == 16 else {
      throw HostError(
        KernelError(call: "getrandom", errno: count < 0 ? Int32(-count) : EIO),
        doing: "check a value")
    }
    do throws(ValueError) { try check(parts, seed: seed) } catch {
      throw HostError(
        LAUTER_ERROR_INVALID, subject: "value",
        "the value is broken at byte \(error.offset): \(error.reason)")
    }
  }
}
