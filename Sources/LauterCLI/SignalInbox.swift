// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The write end of the pipe that the handler fills. A handler can reach nothing but a global.
nonisolated(unsafe) private var handlerPipe: Int32 = -1

/// Signals that ask us to end, as something that poll(2) can wait for.
struct SignalInbox {
  /// Readable when there is a signal to take.
  let descriptor: Int32

  /// Catch SIGINT, SIGTERM, SIGHUP and SIGQUIT from now on, but for those that our caller ignores (`nohup`).
  init() throws(Failure) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw Failure("pipe: \(errorText(errno))") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    descriptor = ends[0]
    handlerPipe = ends[1]
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
      var action = sigaction()
      sigaction(signal, nil, &action)
      if action.__sigaction_handler.sa_handler.isIgnored { continue }
      action = sigaction()
      action.__sigaction_handler.sa_handler = { number in
        let before = errno
        var byte = UInt8(number)
        _ = Glibc.write(handlerPipe, &byte, 1)  // A full pipe holds enough of them already.
        errno = before
      }
      sigaction(signal, &action, nil)
    }
  }

  /// The next signal that came, if any.
  func take() -> Int32? {
    var byte: UInt8 = 0
    return read(descriptor, &byte, 1) == 1 ? Int32(byte) : nil
  }
}

extension Optional where Wrapped == @convention(c) (Int32) -> Void {
  /// Whether it is SIG_IGN, which is the address 1.
  fileprivate var isIgnored: Bool { unsafeBitCast(self, to: Int.self) == 1 }
}
