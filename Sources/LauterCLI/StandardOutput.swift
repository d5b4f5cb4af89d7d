// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Our standard output, written without ever waiting where that is possible: while a terminal stands still, signals and
/// keys are to go on.
final class StandardOutput {
  let descriptor: Int32
  private let isOwn: Bool
  private var rest: ArraySlice<UInt8> = []
  /// Nobody takes it any more.
  private(set) var isLost = false

  init() {
    // Another opening of the same: the mode of ours is shared with whoever started us. A file would begin anew, a socket
    // cannot be opened; they are written as they are.
    var status = stat()
    let kind = fstat(STDOUT_FILENO, &status) == 0 ? status.st_mode & S_IFMT : 0
    var opened: Int32 = -1
    if kind == S_IFCHR || kind == S_IFIFO {
      opened = open("/proc/self/fd/1", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
    }
    isOwn = opened >= 0
    descriptor = isOwn ? opened : STDOUT_FILENO
  }

  deinit { if isOwn { close(descriptor) } }

  var isIdle: Bool { rest.isEmpty }

  /// Write as much as goes. Not to be called before the last of it went.
  func begin(_ bytes: [UInt8]) {
    if !isLost { rest = bytes[...] }
    advance()
  }

  func advance() {
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 {
        // A signal, or no room now: the caller looks at both.
        if errno == EINTR || errno == EAGAIN { return }
        isLost = true
        rest = []
        return
      }
      rest = rest.dropFirst(written)
    }
  }
}
