// SPDX-License-Identifier: Apache-2.0
import CLauter
import Glibc

/// A program with a terminal of its own, and the user's terminal as a window on it.
///
/// What the user types goes there as it is: Ctrl-C is a character, and the program's own terminal makes the signal of it.
/// When the program is stopped, so are we, and the user's shell takes over; it continues us, and we the program. While we
/// are a job in the background of the user's terminal, the program is one in the background of its own: reading stops
/// it, and us.
final class TerminalRun {
  private let host: Host
  private let worker: lauter_worker
  /// Nil where standard input is no terminal.
  private let terminal: UserTerminal?
  private let output = StandardOutput()
  private var size: TerminalSize
  private var isForeground: Bool
  /// What was read and not yet taken.
  private var input: [UInt8] = []
  private var inputEnded = false
  private var lastRead: UInt8 = UInt8(ascii: "\n")
  private var hasHungUp = false
  /// Nobody can stop us (there is no shell with jobs): then the program is never told that it is in the background,
  /// since it would only be stopped again and again.
  private var cannotStop = false
  /// Signals that came while we looked for another.
  private var waiting: [Int32] = []
  /// Told at the end, where they are on no program's screen.
  private var denials: [String] = []

  init(_ host: Host, _ worker: lauter_worker, _ window: TerminalWindow) {
    self.host = host
    self.worker = worker
    terminal = window.terminal
    size = window.size
    isForeground = window.isForeground
    if isForeground { terminal?.makeRaw() }
  }

  /// Until the program has ended and all that it wrote is out. The terminal is the user's again then.
  func run() throws -> Event {
    defer { terminal?.restore() }
    while true {
      while let number = waiting.isEmpty ? host.signals.take() : waiting.removeFirst() {
        handle(number)
      }
      if let terminal, terminal.isOurs != isForeground { look() }
      forward()
      if output.isIdle, let event = try host.take() {
        switch Int(event.kind) {
        case Int(LAUTER_EVENT_STREAM): output.begin(event.parts.first?.bytes ?? [])
        case Int(LAUTER_EVENT_SUSPENDED): suspended(by: event.status)
        case Int(LAUTER_EVENT_DENIED): denials.append(event.sentence)
        case Int(LAUTER_EVENT_EXITED):
          terminal?.restore()
          for denial in denials { complain("lauter: \(denial)\n") }
          return event
        default: break
        }
        if output.isLost { hangUp() }
        // Keys and signals have their turn while the program writes without end.
        wait(atMost: 0)
      } else {
        // Nobody tells a job that runs on in the background that it has come to the front.
        wait(atMost: isForeground ? -1 : 200)
      }
    }
  }

  private func wait(atMost milliseconds: Int32) {
    let readsInput = isForeground && !inputEnded && input.isEmpty
    var waits = [
      pollfd(fd: host.signals.descriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: output.isIdle ? host.descriptor : -1, events: Int16(POLLIN), revents: 0),
      pollfd(fd: readsInput ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
      pollfd(fd: output.isIdle ? -1 : output.descriptor, events: Int16(POLLOUT), revents: 0),
    ]
    guard poll(&waits, nfds_t(waits.count), milliseconds) > 0 else { return }
    if waits[2].revents != 0 { readInput() }
    if waits[3].revents != 0 { output.advance() }
    if output.isLost { hangUp() }
  }

  // MARK: Input

  private func readInput() {
    if let terminal, !terminal.isOurs { return }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(STDIN_FILENO, &buffer, buffer.count)
    if count > 0 {
      input = Array(buffer[..<count])
      lastRead = input.last!
      return
    }
    if count < 0, errno == EINTR || errno == EAGAIN { return }
    inputEnded = true
    // A terminal that ends has hung up, and its signal says so. The end of a file is one character, or two behind half
    // a line: the first hands the half over.
    guard terminal == nil else { return }
    for _ in 0..<(lastRead == UInt8(ascii: "\n") ? 1 : 2) { try? host.type(worker, []) }
  }

  /// What cannot be taken now waits, and nothing more is read.
  private func forward() {
    guard !input.isEmpty else { return }
    do {
      try host.type(worker, input)
    } catch  where error.code == LAUTER_ERROR_LIMIT {
      return
    } catch {}
    input = []
  }

  /// The user's side is gone: the program's is as well, as when a terminal's window is closed.
  private func hangUp() {
    guard !hasHungUp else { return }
    hasHungUp = true
    try? host.signal(worker, SIGHUP)
    try? host.signal(worker, SIGCONT)
  }

  // MARK: Signals and jobs

  private func handle(_ number: Int32) {
    switch number {
    case SIGWINCH: fit()
    case SIGCONT: look()
    case SIGTSTP:
      // Somebody stops us from outside. Who continues us continues the program, which need not know.
      try? host.pause(worker)
      terminal?.restore()
      _ = stop(by: number, everybody: false)
      look()
      try? host.resume(worker)
    default: try? host.signal(worker, number)  // It may have ended by now.
    }
  }

  /// The program was stopped: the user's shell is to see us so, too.
  private func suspended(by number: Int32) {
    terminal?.restore()
    // A terminal stops all of a job.
    let stopped = stop(by: number, everybody: number != SIGSTOP)
    if !stopped && !isForeground { cannotStop = true }
    look()
    try? host.signal(worker, SIGCONT)
    // To draw itself anew: the shell has written over it.
    if isForeground { try? host.signal(worker, SIGWINCH) }
  }

  /// Stop, and come back when somebody continues us. False if nobody stopped us: a job that no shell watches over is not
  /// stopped by a terminal's signals.
  private func stop(by number: Int32, everybody: Bool) -> Bool {
    while let earlier = host.signals.take() { waiting.append(earlier) }
    let isCaught = number == SIGTSTP && !SignalInbox.isIgnored(number)
    if isCaught { SignalInbox.leave(number) }
    _ = kill(everybody ? 0 : getpid(), number)
    if isCaught { SignalInbox.catchAgain(number) }
    var wasContinued = false
    while let later = host.signals.take() {
      if later == SIGCONT { wasContinued = true } else { waiting.append(later) }
    }
    return wasContinued
  }

  /// See whose terminal it is now, and let the program's be the same.
  private func look() {
    guard let terminal else { return }
    isForeground = terminal.isOurs
    if isForeground { terminal.makeRaw() }
    try? host.setForeground(worker, isForeground || cannotStop)
    fit()
  }

  private func fit() {
    let current = TerminalSize.current
    guard current != size else { return }
    size = current
    try? host.resize(worker, size)
  }
}
