// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  package import CLinux
#endif

/// A descriptor with one owner, closed when the owner goes.
package struct OwnedFD: ~Copyable, Sendable {
  package let raw: Int32

  /// Take over `raw`, which nobody else closes.
  package init(adopting raw: Int32) { self.raw = raw }

  /// Give the descriptor away.
  package consuming func release() -> Int32 {
    let raw = self.raw
    discard self
    return raw
  }

  // close(2) is never retried: on Linux the descriptor is gone even after EINTR.
  deinit { _ = lx_close(raw) }
}
