// SPDX-License-Identifier: Apache-2.0

/// Lauter itself failed (as opposed to what it runs): printed as "lauter: …", exit status 125 as container tools
/// have it.
struct Failure: Error {
  var message: String
  var status: Int32 = Failure.own

  static let own: Int32 = 125

  init(_ message: String, status: Int32 = Failure.own) {
    self.message = message
    self.status = status
  }

  /// A failed system call on `subject`.
  init(_ call: String, _ subject: String, errno: Int32) {
    self.init("\(subject): \(call): \(errorText(errno))")
  }
}
