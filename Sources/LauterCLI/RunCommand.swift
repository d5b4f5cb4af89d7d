// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CLauter
import Glibc

/// `lauter run`: one program in the sandbox, as if it had been started without.
struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Run a program in a sandbox.",
    usage: "lauter run [<options>] -- <command> ...",
    discussion: """
      Standard input, output and error are passed through and the exit status is kept: 128+n when signal n ended it, \
      127 when there is no such program, 126 when it cannot be executed, 125 when lauter itself failed. SIGINT, \
      SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to it; SIGTSTP (Ctrl-Z) stops it with lauter, and \
      SIGCONT lets both go on. The current directory is kept if the policy shows it; otherwise the program begins in \
      its home.

      Where all three streams are a terminal, or with --interactive, the program gets a terminal of its own, from \
      which yours cannot be reached: keys, window size and job control are handed on, and TERM and COLORTERM are \
      passed. What it writes to standard error comes with standard output then.

      Example: let a program read data and write out, in at most ten minutes.

        lauter run --read data --write out --limit wall=10m -- sort data/log
        lauter run -- bash
      """)

  @OptionGroup(title: "Policy") var policy: PolicyOptions

  @Flag(
    name: [.short, .long],
    help: "Give it a terminal of its own, whatever standard input and output are.")
  var interactive = false

  @Option(help: ArgumentHelp("Where it begins.", valueName: "dir"))
  var directory: String?

  @Argument(
    parsing: .captureForPassthrough,
    help: ArgumentHelp("The program and its arguments.", valueName: "command"))
  var command: [String] = []

  mutating func validate() throws {
    command = try RunCommand.program(command)
  }

  /// The program and its arguments out of what followed the options.
  static func program(_ captured: [String]) throws -> [String] {
    if captured.first == "--" {
      guard captured.count > 1 else { throw ValidationError("a command should follow --") }
      return Array(captured.dropFirst())
    }
    guard let first = captured.first else { throw ValidationError("no command is given") }
    // They arrive here because everything does that follows the options.
    if ["--help", "-h"].contains(first) { throw CleanExit.helpRequest() }
    if first.hasPrefix("-") { throw ValidationError("no such option: \(first)") }
    return captured
  }

  func run() throws {
    let paths = try PathResolver.here()
    let program = try self.program(paths)
    let report = try policy.report.map { path throws(Failure) in
      try SafeFile(try paths.resolve(path))
    }
    let policy = try makePolicy(paths)
    let window = hasTerminal ? TerminalWindow() : nil
    let host = try Host(signals: try SignalInbox(catching: RunCommand.signals))
    let worker: lauter_worker
    do {
      worker = try withLaunch(policy, paths, window) { try host.spawn(policy, $0) }
    } catch let error as LibraryError where error.subject == program {
      throw RunCommand.failure(error)
    }
    let event: Event
    if let window {
      event = try TerminalRun(host, worker, window).run()
    } else {
      event = try RunCommand.watch(worker, host)
    }
    if let json = event.report?.json {
      try report?.write(Array(json.utf8) + [UInt8(ascii: "\n")])
    }
    throw try RunCommand.status(event)
  }

  /// All that a terminal, a shell or another process may want to tell the program.
  private static let signals =
    SignalInbox.endings + [SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT]

  /// Whether the program gets a terminal of its own.
  var hasTerminal: Bool {
    interactive || [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO].allSatisfy { isatty($0) == 1 }
  }

  /// With the kind of terminal, where there is one: the policy's own words come after it.
  func makePolicy(_ paths: PathResolver) throws -> Policy {
    let passed = hasTerminal ? ["TERM", "COLORTERM"] : []
    return try policy.makePolicy(
      paths,
      first: passed.compactMap { name in
        environmentVariable(name).map { .init(name: "env", value: "\(name)=\($0)") }
      })
  }

  /// Until the program has ended, which has our streams.
  private static func watch(_ worker: lauter_worker, _ host: Host) throws -> Event {
    while true {
      switch try host.next(timeout: -1) {
      case .signal(let number):
        switch number {
        case SIGTSTP:
          // The terminal's word to a job; the program is none there, so it stops by ours.
          try? host.pause(worker)
          SignalInbox.leave(number)
          _ = kill(getpid(), number)
          SignalInbox.catchAgain(number)
          try? host.resume(worker)
        case SIGCONT, SIGWINCH: break
        default: try? host.signal(worker, number)  // It may have ended by now.
        }
      case .event(let event) where event.kind == LAUTER_EVENT_EXITED: return event
      case .event(let event) where event.kind == LAUTER_EVENT_STREAM:
        let descriptor = event.stream == LAUTER_STREAM_STDERR ? STDERR_FILENO : STDOUT_FILENO
        for part in event.parts { writeAll(part.bytes, to: descriptor) }
      case .event(let event) where event.kind == LAUTER_EVENT_DENIED:
        complain("lauter: \(event.sentence)\n")
      default: continue
      }
    }
  }

  /// Use the launch, which begins in the current directory if it can be seen.
  func withLaunch<Result>(
    _ policy: Policy, _ paths: PathResolver, _ window: TerminalWindow?,
    use: (Launch) throws -> Result
  ) throws -> Result {
    func make(in directory: String?) throws -> Launch {
      try makeLaunch(policy, paths, window, in: directory)
    }
    if let directory { return try use(try make(in: try paths.resolve(directory))) }
    do {
      return try use(try make(in: paths.directory))
    } catch let error as LibraryError where error.subject == paths.directory {
      // Only the plan knows what is at a place: a policy may allow /tmp/x, and mean its own /tmp.
      guard [LAUTER_ERROR_NOT_FOUND, LAUTER_ERROR_DENIED].contains(Int(error.code)) else {
        throw error
      }
      return try use(try make(in: nil))
    }
  }

  /// What the library looks for: a name for the worker's PATH, or an absolute path.
  private func program(_ paths: PathResolver) throws(Failure) -> String {
    command[0].contains("/") ? try paths.resolve(command[0]) : command[0]
  }

  private func makeLaunch(
    _ policy: Policy, _ paths: PathResolver, _ window: TerminalWindow?, in directory: String?
  ) throws -> Launch {
    let launch = try Launch(kind: "program")
    for argument in [try program(paths)] + command.dropFirst() {
      try launch.set("argument", argument)
    }
    if let window {
      try launch.set("terminal", window.property)
    } else {
      // What is counted comes by way of us.
      let output = try policy.limitsOutput() ? "capture" : "inherit"
      for (stream, value) in [("stdin", "inherit"), ("stdout", output), ("stderr", output)] {
        try launch.set(stream, value)
      }
    }
    if let label = self.policy.label { try launch.set("label", label) }
    if let directory { try launch.set("directory", directory) }
    return launch
  }

  /// What to exit with. Says why where the status does not.
  private static func status(_ event: Event) throws -> ExitCode {
    if let error = event.error { throw failure(error) }
    guard let report = event.report else { throw Failure("the worker ended without a report") }
    var silent = [LAUTER_REASON_EXITED, LAUTER_REASON_SIGNALED].contains(Int(report.reason))
    // Of a call for which it was killed an event has told; of one for which the kernel ended it nothing has.
    if report.reason == LAUTER_REASON_BLOCKED { silent = report.signal == SIGKILL }
    if !silent || [SIGSYS, SIGXFSZ].contains(report.signal) { complain("lauter: \(report.why)\n") }
    if report.exitCode < 0, report.signal == 0 { return ExitCode(Failure.own) }
    // What it had written by then was too much, however it ended.
    if report.reason == LAUTER_REASON_OUTPUT { return ExitCode(128 + SIGKILL) }
    return ExitCode(report.shellStatus)
  }

  /// What a failed launch means to a shell.
  private static func failure(_ error: LibraryError) -> Failure {
    switch Int(error.code) {
    case LAUTER_ERROR_NOT_FOUND: Failure(error.message, status: 127)
    case LAUTER_ERROR_NOT_EXECUTABLE, LAUTER_ERROR_DENIED: Failure(error.message, status: 126)
    default: error.failure
    }
  }
}
