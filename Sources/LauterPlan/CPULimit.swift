// SPDX-License-Identifier: Apache-2.0

/// When init looks at what the worker's processes have used of their CPU time. Times are nanoseconds.
///
/// Who has `n` processors cannot use more than `n` times what passes, so a worker far from its limit costs no look. A
/// worker that idles close to it is looked at less and less often, at the price that it may pass its limit by a tenth
/// when it wakes.
package struct CPULimit: Sendable {
  private let limit: UInt64
  private let processors: UInt64
  private let longest: UInt64
  private var used: UInt64 = 0
  private var lookedAt: UInt64
  private var wait: UInt64

  private static let shortest: UInt64 = 20_000_000

  package init(milliseconds: UInt64, processors: Int, now: UInt64) {
    // A hundred years: no sum overflows.
    limit = min(milliseconds, 100 * 365 * 86_400 * 1000) * 1_000_000
    self.processors = UInt64(max(1, processors))
    longest = min(max(limit / 10 / self.processors, 50_000_000), 1_000_000_000)
    lookedAt = now
    wait = max(CPULimit.shortest, limit / self.processors)
  }

  /// When to look next.
  package var due: UInt64 { lookedAt + wait }

  /// Whether so much time is too much.
  package func isReached(_ used: UInt64) -> Bool { used >= limit }

  /// Look again later: `used` is less than the limit.
  package mutating func note(_ used: UInt64, now: UInt64) {
    let earliest = max(CPULimit.shortest, (limit - min(used, limit)) / processors)
    let possible = (now - min(lookedAt, now)) &* processors
    let isQuiet = used &- min(self.used, used) < possible / 16
    if earliest < longest && isQuiet {
      wait = min(longest, max(earliest, wait * 2))
    } else {
      wait = earliest
    }
    self.used = used
    lookedAt = now
  }
}
