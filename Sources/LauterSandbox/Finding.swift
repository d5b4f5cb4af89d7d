// SPDX-License-Identifier: Apache-2.0

/// What an examination of the machine found out about one thing that sandboxes are made of.
package struct Finding {
  package enum Status: Sendable {
    /// It is there.
    case ok
    /// It is not, or not in full; workers start without, and their reports say so, or one use of one word is refused.
    case tolerated
    /// It is not, and policies that need it cannot be carried out.
    case missing
    /// Told for its own sake; nothing hangs on it.
    case info
  }

  /// "user-namespace".
  package let id: StaticString
  /// What it is for.
  package let purpose: StaticString
  /// The policy words that it is needed for, one space between them; empty: every policy.
  package let words: StaticString
  package var status: Status
  /// By which mechanism, or what failed.
  package var detail: String
  package var diagnosis: Diagnosis?

  // Once, and not in each place that makes one: the code would be many times as large.
  @inline(never)
  package init(
    _ id: StaticString, _ purpose: StaticString, words: StaticString = "", _ status: Status,
    _ detail: String, _ diagnosis: Diagnosis? = nil
  ) {
    self.id = id
    self.purpose = purpose
    self.words = words
    self.status = status
    self.detail = detail
    self.diagnosis = diagnosis
  }
}

extension String {
  /// Adds `part`, behind a comma where something stands already.
  @inline(never)
  mutating func list(_ part: String) {
    if !utf8.isEmpty { self += ", " }
    self += part
  }
}
