// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  package import CLauter
#endif
#if canImport(LauterLinux)
  import LauterLinux
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

  static func staleWorker(_ id: UInt64) -> HostError {
    HostError(LAUTER_ERROR_STALE, subject: "\(id)", "no worker has the id \(id) (any more)")
  }

  static func staleCall(_ id: UInt64) -> HostError {
    HostError(LAUTER_ERROR_STALE, subject: "\(id)", "no call has the id \(id) (any more)")
  }

  static func state(_ id: UInt64, _ what: String) -> HostError {
    HostError(LAUTER_ERROR_STATE, subject: "\(id)", "worker \(id) \(what)")
  }
}

/// The C locale's words are wanted and strerror is not thread-safe: the common ones by hand, the rest by number.
package func errnoText(_ errno: Int32) -> String {
  switch errno {
  case 1: "EPERM (operation not permitted)"
  case 2: "ENOENT (no such file or directory)"
  case 3: "ESRCH (no such process)"
  case 4: "EINTR (interrupted)"
  case 5: "EIO (input/output error)"
  case 7: "E2BIG (argument list too long)"
  case 8: "ENOEXEC (not an executable format)"
  case 9: "EBADF (bad file descriptor)"
  case 11: "EAGAIN (resource temporarily unavailable)"
  case 12: "ENOMEM (out of memory)"
  case 13: "EACCES (permission denied)"
  case 16: "EBUSY (busy)"
  case 17: "EEXIST (exists)"
  case 20: "ENOTDIR (not a directory)"
  case 21: "EISDIR (is a directory)"
  case 22: "EINVAL (invalid argument)"
  case 23: "ENFILE (too many open files in the system)"
  case 24: "EMFILE (too many open files)"
  case 28: "ENOSPC (no space left, or a limit on namespaces is reached)"
  case 30: "EROFS (read-only file system)"
  case 32: "EPIPE (broken pipe)"
  case 36: "ENAMETOOLONG (file name too long)"
  case 38: "ENOSYS (not implemented by this kernel)"
  case 40: "ELOOP (too many symbolic links)"
  case 87: "EUSERS (too many users)"
  case 95: "EOPNOTSUPP (not supported)"
  case 116: "ESTALE (not the file that the plan was made for)"
  default: "errno \(errno)"
  }
}
