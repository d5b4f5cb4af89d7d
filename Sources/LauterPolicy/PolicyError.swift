// SPDX-License-Identifier: Apache-2.0

/// A word or value that a policy or launch does not take.
package struct PolicyError: Error, Equatable, Sendable {
  /// What it is about: a word, a path, a property.
  package var subject: String
  /// One sentence in lower case that names the subject.
  package var message: String

  package init(subject: String, message: String) {
    self.subject = subject
    self.message = message
  }
}
