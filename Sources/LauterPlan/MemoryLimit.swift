// SPDX-License-Identifier: Apache-2.0

/// When init looks at how much memory the worker's processes have, where no control group counts. Times are nanoseconds.
///
/// Memory that is used for the first time costs processor time: so a tree cannot fill what it has left at once, and one
/// that used no processor has no more than before. The price of looking seldom is what a tree that was quiet can take
/// before it is seen.
package struct MemoryLimit: Sendable {
  package let bytes: UInt64
  private let processors: UInt64
  private var lookedAt: UInt64
  private var wait: UInt64

  /// What one processor can take, in bytes a nanosecond: the kernel clears no page faster.
  private static let fastest: UInt64 = 4
  private static let shortest: UInt64 = 10_000_000
  /// Between two looks at a tree that computes, and at one that sleeps.
  private static let longest: UInt64 = 250_000_000
  private static let longestIdle: UInt64 = 1_000_000_000

  package init(bytes: UInt64, processors: Int, now: UInt64) {
    self.bytes = bytes
    self.processors = UInt64(min(max(1, processors), 1 << 16))
    lookedAt = now
    wait = 0
    wait = time(toFill: bytes)
  }

  /// When to look next.
  package var due: UInt64 { lookedAt &+ wait }

  /// - Parameter used: no more than `bytes`.
  /// - Parameter took: what the look itself cost.
  package mutating func note(_ used: UInt64, took: UInt64, now: UInt64) {
    lookedAt = now
    // However many processes there are: a twentieth of a processor.
    wait = max(time(toFill: bytes &- min(used, bytes)), min(took &* 20, MemoryLimit.longestIdle))
  }

  /// Nothing has run since the last look.
  package mutating func noteIdle(now: UInt64) {
    lookedAt = now
    wait = min(wait &* 2, MemoryLimit.longestIdle)
  }

  private func time(toFill left: UInt64) -> UInt64 {
    min(
      max(left / (MemoryLimit.fastest * processors), MemoryLimit.shortest), MemoryLimit.longest)
  }
}
