// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif

/// A descriptor with one owner, closed when the owner goes.
package struct OwnedFD: ~Copyable, Sendable {
  package private(set) var raw: Int32

  /// Take over `raw`, which nobody else closes.
  package init(adopting raw: Int32) { self.raw = raw }

  /// Give the descriptor away.
  package consuming func release() -> Int32 {
    let raw = self.raw
    // Embedded Swift has `discard self` for frozen types alone.
    self.raw = -1
    return raw
  }

  /// Take a number from `least` on, where one is free; else stay.
  package mutating func move(from least: Int32) {
    guard raw >= 0, raw < least else { return }
    let moved = lx_dup_above(raw, least)
    guard moved >= 0 else { return }
    _ = lx_close(raw)
    raw = Int32(moved)
  }

  // close(2) is never retried: on Linux the descriptor is gone even after EINTR.
  deinit { if raw >= 0 { _ = lx_close(raw) } }
}
