// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// What a function of the worker's side reports: a code of the header, and what a person needs.
package struct SessionError: Error {
  package let code: Int
  package let subject: String
  package let errno: Int32
  package let message: String

  package init(_ code: Int, subject: String = "", errno: Int32 = 0, _ message: String) {
    self.code = code
    self.subject = subject
    self.errno = errno
    self.message = message
  }

  init(_ error: KernelError, doing what: String) {
    self.init(
      LAUTER_ERROR_SYSTEM, subject: what, errno: error.errno,
      "\(what): \(error.call): \(errnoText(error.errno))")
  }

  static func outOfMemory(_ what: String) -> SessionError {
    SessionError(LAUTER_ERROR_LIMIT, subject: what, "there is no memory for \(what)")
  }

  static func staleCall(_ id: UInt64) -> SessionError {
    SessionError(LAUTER_ERROR_STALE, subject: "\(id)", "no call \(id) waits for an answer")
  }

  static func staleChannel(_ id: UInt64) -> SessionError {
    SessionError(LAUTER_ERROR_STALE, subject: "\(id)", "no channel has the id \(id) (any more)")
  }

  static var timeout: SessionError {
    SessionError(LAUTER_ERROR_TIMEOUT, "the time was up")
  }
  static var interrupted: SessionError {
    SessionError(LAUTER_ERROR_INTERRUPTED, "a signal handler ran")
  }
  static var forked: SessionError {
    SessionError(LAUTER_ERROR_FORKED, "this session was attached before a fork, in another process")
  }
  static var hostGone: SessionError {
    SessionError(LAUTER_ERROR_DIED, subject: "host", "the host has gone")
  }
}

/// How far a session has come.
enum SessionEnd {
  case open
  case closed
  case broken(WireError)
  case failed(KernelError)

  /// Why nothing more comes; nil while something may.
  var error: SessionError? {
    switch self {
    case .open: nil
    case .closed: .hostGone
    case .broken(let error):
      SessionError(
        LAUTER_ERROR_PROTOCOL, subject: "host", "the host broke the protocol: \(error.description)")
    case .failed(let error): SessionError(error, doing: "read the session")
    }
  }
}
