// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// A Python and the folders that it cannot live without, wherever it was installed.
struct PythonInterpreter {
  /// The name to start it by: Python finds its virtual environment from that.
  private(set) var program: String
  /// What must be readable, resolved.
  private(set) var needs: [HostFile] = []
  /// Symbolic links on the way from the name to the program.
  private(set) var links: [(path: String, target: String)] = []
  /// The virtual environment's folder.
  private(set) var environment: String?

  private let home: String?

  /// Find the interpreter of a launch: the one that it names, else `python3` on the caller's PATH.
  init(for launch: Launch) throws(SandboxError) {
    home = launch.callerHome
    if let named = launch.interpreter {
      program = try PythonInterpreter.named(named)
    } else {
      program = try PythonInterpreter.search(launch.searchPath)
    }
    try collect(program, depth: 0)
  }

  // MARK: Which

  private static func named(_ path: String) throws(SandboxError) -> String {
    let file = try HostFile.named(path, by: "interpreter")
    guard file.isRegular, try HostFile.isExecutable(file.path) else {
      throw SandboxError(
        .notExecutable, subject: path, message: "interpreter \(path): not an executable file")
    }
    if try isProgram(file.path) { return path }
    if let found = try shimmed(path) { return found }
    throw SandboxError(
      .notExecutable, subject: path,
      message: "interpreter \(path): a script, not a Python; name the program that it starts")
  }

  private static func search(_ searchPath: String) throws(SandboxError) -> String {
    for part in searchPath.utf8.split(separator: UInt8(ascii: ":")) {
      // What is relative to some working directory is nobody's choice.
      guard part.first == UInt8(ascii: "/") else { continue }
      let folder = String(decoding: part, as: UTF8.self)
      let path = PolicyPath.join(folder, "python3")
      guard let file = try HostFile.find(path), file.isRegular, try HostFile.isExecutable(file.path)
      else { continue }
      if try isProgram(file.path) { return path }
      if let found = try shimmed(path) { return found }
    }
    throw SandboxError(
      .notFound, subject: "python3",
      message: "interpreter: no python3 on the caller's PATH (\(searchPath)); name one")
  }

  /// Whether the file is an ELF program.
  private static func isProgram(_ path: String) throws(SandboxError) -> Bool {
    try HostFile.read(path, upTo: 4)?.elementsEqual([0x7F, 0x45, 0x4C, 0x46]) ?? false
  }

  /// What a pyenv shim (a script in `ROOT/shims`) would start, read from `ROOT/version`: the shim
  /// itself needs a shell and the whole of pyenv to find out. Nil for anything else, and where the
  /// choice is "system": the next one on PATH.
  private static func shimmed(_ path: String) throws(SandboxError) -> String? {
    let folder = PolicyPath.parent(path)
    guard PolicyPath.name(folder).utf8.elementsEqual("shims".utf8) else { return nil }
    let root = PolicyPath.parent(folder)
    guard let text = try HostFile.read(root + "/version", upTo: 4096) else { return nil }
    let words = text.split { $0 <= 0x20 || $0 == UInt8(ascii: ":") }
    for word in words {
      guard let version = String(validating: word, as: UTF8.self) else { continue }
      if version.utf8.contains(UInt8(ascii: "/")) { continue }
      let candidate = "\(root)/versions/\(version)/bin/\(PolicyPath.name(path))"
      if let file = try HostFile.find(candidate), try isProgram(file.path) { return candidate }
    }
    return nil
  }

  // MARK: What it needs

  /// Follow the links from `path` to the program and note what each place on the way stands for.
  private mutating func collect(_ path: String, depth: Int) throws(SandboxError) {
    guard depth < 8 else {
      throw SandboxError(
        .invalid, subject: path, message: "interpreter \(path): too many links and environments")
    }
    let folder = PolicyPath.parent(path)
    let prefix = PolicyPath.parent(folder)
    for name in [prefix, folder] {
      // Where the name leads through a link to a folder, the link is there inside too.
      if let file = try HostFile.find(name), !PolicyPath.same(file.path, name) {
        links.append((name, file.path))
      }
    }
    if let settings = try HostFile.read(prefix + "/pyvenv.cfg", upTo: 65536) {
      if depth == 0 { environment = prefix }
      if try holdsMore(prefix) {
        for name in ["pyvenv.cfg", "bin", "lib"] { try need(prefix + "/" + name) }
      } else {
        try need(prefix)
      }
      if let base = PythonInterpreter.setting("home", in: settings) {
        let python = base + "/" + PolicyPath.name(path)
        let fallback = base + "/python3"
        let next = try HostFile.find(python) == nil ? fallback : python
        if try HostFile.find(next) != nil { try collect(next, depth: depth + 1) }
      }
    }
    guard let target = try HostFile.link(path) else {
      try collectInstallation(path)
      return
    }
    links.append((path, target))
    let next =
      target.utf8.first == UInt8(ascii: "/") ? target : PolicyPath.join(folder, target)
    // A folder on the way may be a link as well; the name of the next hop is kept all the same.
    guard let parent = try HostFile.find(PolicyPath.parent(next)) else { return }
    let hop = PolicyPath.join(parent.path, PolicyPath.name(next))
    try collect(hop, depth: depth + 1)
  }

  /// The program itself: its installation is the folder above `bin`, if that holds a Python
  /// library.
  private mutating func collectInstallation(_ path: String) throws(SandboxError) {
    guard let file = try HostFile.find(path) else { return }
    let prefix = PolicyPath.parent(PolicyPath.parent(file.path))
    let libraries = try PythonInterpreter.libraries(prefix)
    if !libraries.isEmpty {
      let isShared = try holdsMore(prefix)
      if !isShared {
        try need(prefix)
        return
      }
    }
    // A home, or a folder that is shared with others: its Python alone.
    needs.append(file)
    for library in libraries { try need(library) }
  }

  private mutating func need(_ path: String) throws(SandboxError) {
    needs.append(try HostFile.named(path, by: "interpreter"))
  }

  /// Whether a prefix is more than one Python's installation.
  private func holdsMore(_ prefix: String) throws(SandboxError) -> Bool {
    if PolicyPath.same(prefix, "/") || PolicyPath.name(prefix).utf8.elementsEqual(".local".utf8) {
      return true
    }
    if PolicyPath.same(PolicyPath.parent(prefix), "/home") { return true }
    guard let home, let resolved = try HostFile.find(home) else { return false }
    return PolicyPath.isWithin(resolved.path, prefix)
  }

  /// `lib/pythonX.Y` and `lib/libpython*` of a prefix.
  private static func libraries(_ prefix: String) throws(SandboxError) -> [String] {
    var found: [String] = []
    for folder in ["lib", "lib64"] {
      let path = PolicyPath.join(prefix, folder)
      for name in try HostFile.names(in: path) {
        let isLibrary =
          name.utf8.starts(with: "python".utf8) || name.utf8.starts(with: "libpython".utf8)
        if isLibrary { found.append(PolicyPath.join(path, name)) }
      }
    }
    return found
  }

  /// A line `name = value` of pyvenv.cfg.
  private static func setting(_ name: String, in text: [UInt8]) -> String? {
    for line in text.split(separator: UInt8(ascii: "\n")) {
      guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
      let key = trim(line[..<equals])
      if key.elementsEqual(name.utf8) {
        return String(validating: trim(line[(equals + 1)...]), as: UTF8.self)
      }
    }
    return nil
  }

  private static func trim(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes.drop { $0 <= 0x20 }
    while let last = bytes.last, last <= 0x20 { bytes.removeLast() }
    return bytes
  }
}
