// SPDX-License-Identifier: Apache-2.0

/// Why there is no plan.
package struct SandboxError: Error, Equatable, Sendable {
  package enum Kind: Sendable {
    case invalid, system, notFound, denied, unsupported, notExecutable
  }

  package var kind: Kind
  /// A path or a word.
  package var subject: String
  /// One sentence in lower case that names the subject and, where there is one, the remedy.
  package var message: String
  /// Of the system call that failed, or 0.
  package var errno: Int32

  package init(_ kind: Kind, subject: String, message: String, errno: Int32 = 0) {
    self.kind = kind
    self.subject = subject
    self.message = message
    self.errno = errno
  }
}
