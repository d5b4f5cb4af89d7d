// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc

/// What happens to the cells after one that took its worker along.
enum DeathRule: String, ExpressibleByArgument, CaseIterable { case restart, stop }

/// `lauter notebook`: a notebook's cells, one by one, in one sandboxed worker.
struct NotebookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "notebook",
    abstract: "Run a Python notebook in a sandbox.",
    discussion: """
      Every cell runs, one after the other, in the notebook's folder, which it can read but not write. The executed \
      notebook is written beside it as NAME.executed.ipynb; the notebook itself stays as it is. A cell that fails \
      does not end the run (see --stop-on-error). The exit status is 0 if every cell did what was expected of it \
      (cells tagged raises-exception may fail, skip-execution are left out; see --allow-errors), 1 if one did not, \
      125 when lauter itself failed, 128+n when signal n ended the run. Ctrl-C interrupts the running cell and ends \
      the run; a second one kills the worker.

      Example: run a notebook with a folder to write in, ten seconds a cell, and an answer for its first input().

        lauter notebook --write results --cell-timeout 10s --input yes analysis.ipynb
      """)

  @Argument(help: ArgumentHelp("The notebook (nbformat 4).", valueName: "file"))
  var file: String

  @Option(help: ArgumentHelp("Where the executed notebook goes.", valueName: "file"))
  var output: String?

  @Flag(help: "Write the executed notebook over the notebook itself.")
  var inplace = false

  @Option(
    help: ArgumentHelp("Interrupt a cell after this time: 500ms, 5s, 10m.", valueName: "time"))
  var cellTimeout: Period?

  @Option(help: "When a cell takes its worker along: go on in a fresh one, or end the run.")
  var onDeath: DeathRule = .restart

  @Flag(help: "End the run at the first cell that fails unexpectedly.")
  var stopOnError = false

  @Flag(help: "Do not count exceptions as failures: the exit status says how the rest went.")
  var allowErrors = false

  @Flag(help: "Run it as Python, even if it says that it is written in another language.")
  var force = false

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "An answer for input(); the first for the first question, and so on.", valueName: "text"))
  var input: [String] = []

  @Option(
    help: ArgumentHelp("More answers, one a line, after those of --input.", valueName: "file"))
  var inputsFrom: String?

  @Option(
    help: ArgumentHelp("The Python to run it (default: python3 on your PATH).", valueName: "path"))
  var python: String?

  @Option(
    help: ArgumentHelp(
      "How much printed text to keep of each cell (default: 1M).", valueName: "size"))
  var maxOutput: Size?

  @Option(
    help: ArgumentHelp(
      "How much else to keep of each cell, such as figures (default: 32M).", valueName: "size"))
  var maxDisplay: Size?

  @OptionGroup(title: "Policy") var policy: PolicyOptions

  func validate() throws {
    if inplace, output != nil {
      throw ValidationError("--inplace and --output say two places for the executed notebook")
    }
    if stopOnError, allowErrors {
      throw ValidationError("--stop-on-error and --allow-errors contradict each other")
    }
  }

  func run() throws {
    let paths = try PathResolver.here()
    let path = try paths.resolve(file)
    let notebook: Notebook
    do {
      notebook = try Notebook(parsing: try readFile(path, called: file), isForced: force)
    } catch let error as NotebookError {
      throw Failure("\(file): \(error.message)")
    }
    let executed = try SafeFile(
      try output.map(paths.resolve) ?? (inplace ? path : NotebookCommand.executedPath(path)))
    let report = try policy.report.map { path throws(Failure) in
      try SafeFile(try paths.resolve(path))
    }
    let answers = try input + moreAnswers(paths)
    let folder = realPath(splitPath(path).folder) ?? splitPath(path).folder
    let policy = try makePolicy(paths, folder: folder)
    let launch = try makeLaunch(paths, folder: folder)

    let cells = notebook.cells.filter(\.isExecutable).count
    let progress = Progress(total: cells, style: .ofStandardError(), write: complain)
    let run = NotebookRun(
      notebook, host: try Host(signals: try SignalInbox()), policy: policy, launch: launch,
      options: options(answers: answers), progress: progress)
    for warning in notebook.warnings { complain("lauter: \(file): \(warning)\n") }
    let ended = try run.execute()
    try executed.write(run.notebook.written())
    try report?.write(
      run.report(notebook: path, output: executed.path).written() + [UInt8(ascii: "\n")])
    complain("\(run.summary)\nwrote \(executed.path)\n")
    if let message = ended.failure { throw Failure(message) }
    throw ExitCode(ended.status)
  }

  /// `NAME.executed.ipynb` beside `NAME.ipynb`.
  static func executedPath(_ path: String) -> String {
    (path.hasSuffix(".ipynb") ? String(path.dropLast(6)) : path) + ".executed.ipynb"
  }

  private func moreAnswers(_ paths: PathResolver) throws -> [String] {
    guard let file = inputsFrom else { return [] }
    let text = String(decoding: try readFile(try paths.resolve(file), called: file), as: UTF8.self)
    var lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map(
      String.init)
    if lines.last == "" { lines.removeLast() }
    return lines
  }

  /// The policy of the flags, with the notebook's folder readable.
  private func makePolicy(_ paths: PathResolver, folder: String) throws -> Policy {
    // The home folder holds keys and passwords: to show all of it must be asked for in so many words.
    if let home = paths.home.flatMap(realPath), isPath(home, within: folder) {
      let policy = try self.policy.makePolicy(paths)
      if try shows(folder, policy, paths) { return policy }
      throw Failure(
        "\(file): its folder \(folder) holds your home, which a notebook would then read; "
          + "move it to a folder of its own, or say --read \(folder)")
    }
    return try self.policy.makePolicy(paths, first: [.init(name: "read", value: folder)])
  }

  /// Whether the policy shows `folder` of itself: its plan would then have it as the working directory.
  private func shows(_ folder: String, _ policy: Policy, _ paths: PathResolver) throws -> Bool {
    do {
      _ = try policy.explained(try makeLaunch(paths, folder: folder))
      return true
    } catch let error as LibraryError where error.subject == folder {
      return false
    }
  }

  private func makeLaunch(_ paths: PathResolver, folder: String) throws -> Launch {
    let launch = try Launch(kind: "python")
    try launch.set("directory", folder)
    try launch.set("label", policy.label ?? splitPath(file).name)
    if let python {
      try launch.set(
        "interpreter", try python.contains("/") ? paths.resolve(python) : program(python))
    }
    return launch
  }

  /// Where the PATH leads for a program's name.
  private func program(_ name: String) throws -> String {
    for folder in (environmentVariable("PATH") ?? "").split(separator: ":")
    where folder.hasPrefix("/") {
      let path = "\(folder)/\(name)"
      if access(path, X_OK) == 0 { return path }
    }
    throw Failure("\(name): not found on the PATH")
  }

  private func options(answers: [String]) -> NotebookRun.Options {
    var options = NotebookRun.Options()
    options.timeout = cellTimeout?.milliseconds
    options.onDeath = onDeath
    options.stopsOnError = stopOnError
    options.allowsErrors = allowErrors
    options.answers = answers
    if let size = maxOutput?.bytes { options.bounds.streams = size }
    if let size = maxDisplay?.bytes { options.bounds.displays = size }
    return options
  }
}

extension Progress.Style {
  /// What standard error can show.
  static func ofStandardError() -> Progress.Style {
    var style = Progress.Style()
    guard isatty(STDERR_FILENO) == 1, environmentVariable("TERM") != "dumb" else { return style }
    style.isTerminal = true
    style.hasColor = environmentVariable("NO_COLOR", orEmpty: "").isEmpty
    var size = winsize()
    if ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 {
      style.columns = Int(size.ws_col)
    }
    return style
  }
}

private func environmentVariable(_ name: String, orEmpty empty: String) -> String {
  environmentVariable(name) ?? empty
}
