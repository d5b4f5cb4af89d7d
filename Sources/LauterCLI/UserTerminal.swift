// SPDX-License-Identifier: Apache-2.0
import Glibc

/// For the handler of signals that end us: the terminal to be restored, -1 while there is nothing to restore.
nonisolated(unsafe) private var changedTerminal: Int32 = -1
nonisolated(unsafe) private var modesBefore = termios()

/// The terminal that the user types at: raw while a program inside has a terminal of its own that does what a terminal
/// does, and as it was before at every other moment.
final class UserTerminal {
  private let fd: Int32
  private var raw: termios?

  init(_ fd: Int32) {
    self.fd = fd
    for signal in UserTerminal.fatal where !SignalInbox.isIgnored(signal) {
      var action = sigaction()
      action.sa_flags = Int32(bitPattern: SA_RESETHAND)
      action.__sigaction_handler.sa_handler = { number in
        // Both may be called in a handler.
        if changedTerminal >= 0 { _ = tcsetattr(changedTerminal, TCSANOW, &modesBefore) }
        _ = kill(getpid(), number)
      }
      sigaction(signal, &action, nil)
    }
  }

  deinit { restore() }

  /// Signals that end us if nobody catches them, and that are not passed on.
  private static let fatal = [
    SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, SIGALRM, SIGVTALRM, SIGPROF, SIGPOLL,
    SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ,
  ]

  /// Whether we may read it and set its modes: another job would be stopped. So is who has no job control at all.
  var isOurs: Bool {
    let group = tcgetpgrp(fd)
    return group < 0 || group == getpgrp()
  }

  /// Hand every key through, unseen. The modes that are there now are those to come back to, unless they are ours
  /// still: whoever stopped us by SIGSTOP did not ask us first.
  func makeRaw() {
    var modes = termios()
    guard tcgetattr(fd, &modes) == 0 else { return }
    if raw == nil || changedTerminal < 0 || !isSame(modes, raw!) {
      modesBefore = modes
      cfmakeraw(&modes)
      raw = modes
    }
    changedTerminal = fd
    set(&raw!)
  }

  /// Give it back as it was. Nothing if it is another job's by now, whose modes those are.
  func restore() {
    guard changedTerminal >= 0 else { return }
    changedTerminal = -1
    if isOurs { set(&modesBefore) }
  }

  /// Not to be stopped for it, should we lose the terminal at this moment.
  private func set(_ modes: inout termios) {
    var blocked = sigset_t()
    var before = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGTTOU)
    sigprocmask(SIG_BLOCK, &blocked, &before)
    while tcsetattr(fd, TCSANOW, &modes) != 0 && errno == EINTR {}
    sigprocmask(SIG_SETMASK, &before, nil)
  }

  private func isSame(_ one: termios, _ other: termios) -> Bool {
    one.c_iflag == other.c_iflag && one.c_oflag == other.c_oflag && one.c_cflag == other.c_cflag
      && one.c_lflag == other.c_lflag
  }
}

/// What there is of a terminal on our side when a program gets one of its own.
struct TerminalWindow {
  /// Nil where standard input is none.
  let terminal: UserTerminal?
  let size = TerminalSize.current
  let isForeground: Bool

  init() {
    // A reader of ours that goes is noticed where we write: there is a terminal to be restored.
    signal(SIGPIPE, SIG_IGN)
    terminal = isatty(STDIN_FILENO) == 1 ? UserTerminal(STDIN_FILENO) : nil
    isForeground = terminal?.isOurs ?? true
  }

  /// As a launch has it.
  var property: String { "\(size.rows)x\(size.columns)" + (isForeground ? "" : " background") }
}

/// Rows and columns.
struct TerminalSize: Equatable {
  var rows: UInt32
  var columns: UInt32

  /// Of the first of our standard streams that is a terminal and knows; else what terminals have always had.
  static var current: TerminalSize {
    for fd in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
      var size = winsize()
      if ioctl(fd, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 {
        return TerminalSize(rows: UInt32(size.ws_row), columns: UInt32(size.ws_col))
      }
    }
    return TerminalSize(rows: 24, columns: 80)
  }
}
