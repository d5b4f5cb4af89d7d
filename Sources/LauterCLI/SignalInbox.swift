// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The write end of the pipe that the handler fills. A handler can reach nothing but a global.
nonisolated(unsafe) private var handlerPipe: Int32 = -1

/// Signals as something that poll(2) can wait for.
struct SignalInbox {
  /// Those that ask us to end.
  static let endings = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]

  /// Readable when there is a signal to take.
  let descriptor: Int32

  /// Catch these signals from now on, but for those that our caller ignores (`nohup`).
  init(catching signals: [Int32] = SignalInbox.endings) throws(Failure) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw Failure("pipe: \(errorText(errno))") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    descriptor = ends[0]
    handlerPipe = ends[1]
    for signal in signals where !SignalInbox.isIgnored(signal) { SignalInbox.catchAgain(signal) }
  }

  /// The next signal that came, if any.
  func take() -> Int32? {
    var byte: UInt8 = 0
    return read(descriptor, &byte, 1) == 1 ? Int32(byte) : nil
  }

  static func isIgnored(_ signal: Int32) -> Bool {
    var action = sigaction()
    sigaction(signal, nil, &action)
    return action.__sigaction_handler.sa_handler.isIgnored
  }

  /// Let `signal` have the effect that it has on every program.
  static func leave(_ signal: Int32) {
    var action = sigaction()
    sigaction(signal, &action, nil)
  }

  static func catchAgain(_ signal: Int32) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { number in
      let before = errno
      var byte = UInt8(number)
      _ = Glibc.write(handlerPipe, &byte, 1)  // A full pipe holds enough of them already.
      errno = before
    }
    sigaction(signal, &action, nil)
  }
}

extension Optional where Wrapped == @convention(c) (Int32) -> Void {
  /// Whether it is SIG_IGN, which is the address 1.
  fileprivate var isIgnored: Bool { unsafeBitCast(self, to: Int.self) == 1 }
}
