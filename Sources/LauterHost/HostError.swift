// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterLinux)
  package import LauterLinux
#endif

/// What the host's side of the library reports: the header's codes, with everything that a person needs.
package struct HostError: Error, Equatable, Sendable {
  package var code: Int32
  package var errno: Int32 = 0
  /// The launch step, counted from 1; 0 if none.
  package var step: Int32 = 0
  package var subject: String
  package var message: String

  package init(
    _ code: Int, subject: String = "", errno: Int32 = 0, step: Int32 = 0, _ message: String
  ) {
    self.code = Int32(truncatingIfNeeded: code)
    self.errno = errno
    self.step = step
    self.subject = subject
    self.message = message
  }

  /// A system call of our own that failed while doing `what`.
  package init(_ error: KernelError, doing what: String) {
    self.init(
      LAUTER_ERROR_SYSTEM, subject: what, errno: error.errno,
      "\(what): \(error.call): \(errnoText(error.errno))")
  }

  /// The library's own file, beside which its runtimes lie, cannot be found.
  package static func noRuntime(_ errno: Int32) -> HostError {
    HostError(
      LAUTER_ERROR_NOT_FOUND, subject: "lauter/runtime", errno: errno,
      "the library cannot find the folder that it was loaded from: realpath: \(errnoText(errno)); it was removed, or "
        + "lies outside this root")
  }

  static func staleWorker(_ id: UInt64) -> HostError {
    HostError(LAUTER_ERROR_STALE, subject: "\(id)", "no worker has the id \(id) (any more)")
  }

  static func staleCall(_ id: UInt64) -> HostError {
    HostError(LAUTER_ERROR_STALE, subject: "\(id)", "no call has the id \(id) (any more)")
  }

  static func staleChannel(_ id: UInt64) -> HostError {
    HostError(
      LAUTER_ERROR_STALE, subject: "\(id)", "no channel has the id \(id) (any more)")
  }

  static func state(_ id: UInt64, _ what: String) -> HostError {
    HostError(LAUTER_ERROR_STATE, subject: "\(id)", "worker \(id) \(what)")
  }
}
