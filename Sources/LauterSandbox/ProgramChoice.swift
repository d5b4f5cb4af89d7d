// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// The program of a launch as the worker will find it, with its arguments, environment and working
/// directory.
struct ProgramChoice {
  private let policy: Policy
  private let launch: Launch
  private let interpreter: PythonInterpreter?
  private let runtime: String
  /// The worker's own folder, where no mount can give it a /tmp and a home.
  var scratch: String?

  static let standardPath = "/usr/local/bin:/usr/bin:/bin"

  init(
    _ policy: Policy, _ launch: Launch, _ interpreter: PythonInterpreter?, runtime: String
  ) {
    self.policy = policy
    self.launch = launch
    self.interpreter = interpreter
    self.runtime = runtime
  }

  func execution(in view: View) throws(SandboxError) -> Execution {
    var execution = Execution()
    execution.environment = environment
    execution.directory = try directory(in: view)
    execution.wallMilliseconds = policy.wallMilliseconds ?? 0
    execution.cpuMilliseconds = policy.cpuMilliseconds ?? 0
    execution.hasSession = launch.kind != .program
    execution.ignoresInterrupt = launch.kind != .program
    execution.hasTerminal = launch.terminal != nil
    execution.inBackground = launch.terminal?.inBackground ?? false
    if let interpreter {
      execution.candidates = [interpreter.program]
      // Unbuffered: what C code writes must not lie in a buffer when an answer is sent. The file, not the folder: for a
      // folder Python loads its machinery for packages first.
      execution.arguments =
        [interpreter.program, "-u", runtime + "/__main__.py"] + launch.arguments
    } else {
      guard let name = launch.arguments.first, !name.isEmpty else {
        throw SandboxError(
          .invalid, subject: "argument", message: "argument: the launch names no program")
      }
      execution.candidates = try candidates(name, view)
      execution.arguments = launch.arguments
    }
    return execution
  }

  // MARK: The program

  private func candidates(_ name: String, _ view: View) throws(SandboxError) -> [String] {
    guard name.utf8.contains(UInt8(ascii: "/")) else { return try search(name, view) }
    let path: String
    do throws(PolicyError) {
      path = try PolicyPath.normalise(name, for: "program")
    } catch {
      throw SandboxError(.invalid, subject: error.subject, message: error.message)
    }
    guard let source = view.source(of: path) else {
      // Told here, with the remedy, rather than as the kernel's "no such file".
      if try HostFile.find(path) != nil {
        throw SandboxError(.denied, subject: path, message: "program \(path): " + outside(path))
      }
      throw SandboxError(.notFound, subject: path, message: "program \(path): no such file")
    }
    let file = try HostFile.named(source, by: "program")
    guard file.isRegular else {
      throw SandboxError(.notExecutable, subject: path, message: "program \(path): not a file")
    }
    return [path]
  }

  private func search(_ name: String, _ view: View) throws(SandboxError) -> [String] {
    let searchPath = path
    var found: [String] = []
    for part in searchPath.utf8.split(separator: UInt8(ascii: ":")) {
      guard part.first == UInt8(ascii: "/") else { continue }
      let candidate = PolicyPath.join(String(decoding: part, as: UTF8.self), name)
      guard let source = view.source(of: candidate) else { continue }
      if try HostFile.find(source) != nil { found.append(candidate) }
    }
    if found.isEmpty {
      throw SandboxError(
        .notFound, subject: name,
        message:
          "program \(name): not on the worker's PATH (\(searchPath)), as far as the policy shows it"
      )
    }
    return found
  }

  // MARK: Environment

  private var path: String {
    if let path = policy.variable("PATH") { return path }
    let base = policy.isConfined ? ProgramChoice.standardPath : launch.searchPath
    guard let interpreter else { return base }
    // What the notebook starts as `python3` or `pip` is the one that it runs in.
    let folder = PolicyPath.parent(interpreter.program)
    let isThere = base.utf8.split(separator: UInt8(ascii: ":")).contains {
      $0.elementsEqual(folder.utf8)
    }
    return isThere ? base : folder + ":" + base
  }

  private var home: String {
    if !policy.isConfined { return launch.callerHome ?? "/" }
    if let scratch {
      if policy.hasOwnHome { return scratch + "/home" }
      return policy.homePath ?? scratch + "/tmp"
    }
    // Programs without a home fail in strange ways; /tmp is the worker's own as well.
    return policy.homePath ?? "/tmp"
  }

  private var environment: [String] {
    var variables: [(name: String, value: String)] = [
      ("PATH", path), ("HOME", home), ("LANG", "C.UTF-8"),
    ]
    if policy.isConfined {
      variables.append(("USER", "worker"))
      variables.append(("LOGNAME", "worker"))
    }
    if let scratch { variables.append(("TMPDIR", scratch + "/tmp")) }
    if let environment = interpreter?.environment {
      variables.append(("VIRTUAL_ENV", environment))
    }
    for variable in policy.variables {
      variables.removeAll { PolicyPath.same($0.name, variable.name) }
      variables.append((variable.name, variable.value))
    }
    return variables.map { $0.name + "=" + $0.value }
  }

  // MARK: Working directory

  private func directory(in view: View) throws(SandboxError) -> String {
    guard let path = launch.directory else {
      if !policy.isConfined { return try HostFile.isExecutable(home) ? home : "/" }
      return policy.hasOwnHome ? home : policy.homePath ?? "/"
    }
    if let source = view.source(of: path) {
      let file = try HostFile.named(source, by: "directory")
      guard file.isDirectory else {
        throw SandboxError(.invalid, subject: path, message: "directory \(path): not a folder")
      }
      return path
    }
    if view.makesFolder(path) { return path }
    if let decider = view.decider(for: path), case .tmpfs = decider.kind {
      throw SandboxError(
        .notFound, subject: path,
        message: "directory \(path): \(decider.path) is the worker's own and empty when it begins")
    }
    throw SandboxError(
      .denied, subject: path, message: "directory \(path): " + outside(path))
  }

  /// Why the policy does not show `path`, with what would.
  private func outside(_ path: String) -> String {
    do throws(PolicyError) {
      if let why = try policy.check("read", path) { return why }
    } catch {}
    // Allowed, and not there: in /tmp, say, which the machine has as well.
    return "the worker has a folder of its own there; bring the machine's in with --read \(path)"
  }
}
