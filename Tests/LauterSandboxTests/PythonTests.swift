// SPDX-License-Identifier: Apache-2.0

import Glibc
import LauterPlan
import LauterPolicy
import Testing

@testable import LauterSandbox

@Suite struct PythonTests {
  /// The four bytes by which a program is known.
  private static let program = "\u{7F}ELF"

  /// An installation below `prefix`; its program.
  @discardableResult
  private func install(_ folder: TemporaryFolder, _ prefix: String) -> String {
    folder.file("\(prefix)/lib/python3.12/os.py")
    folder.file("\(prefix)/bin/python3.12", PythonTests.program, mode: 0o755)
    return folder.link("\(prefix)/bin/python3", to: "python3.12")
  }

  private func python(
    _ interpreter: String? = nil, searchPath: String = "", home: String? = nil
  ) throws(SandboxError) -> Preparation {
    try prepare(
      "notebook", [], kind: "python", interpreter.map { [("interpreter", $0)] } ?? [],
      searchPath: searchPath, home: home)
  }

  private func attached(_ preparation: Preparation, below folder: TemporaryFolder) -> [String] {
    preparation.lines.filter { $0.hasPrefix("attach \(folder.path)") }
      .map { String($0.dropFirst("attach \(folder.path)/".count)) }
  }

  @Test func `an installation's prefix becomes readable and nothing beside it`() throws {
    let folder = TemporaryFolder()
    let python3 = install(folder, "home/.pyenv/versions/3.12.1")
    folder.file("home/.ssh/id")
    let preparation = try python(python3, home: folder.path + "/home")
    #expect(attached(preparation, below: folder) == ["home/.pyenv/versions/3.12.1 read-only"])
    #expect(preparation.execution.candidates == [python3])
    #expect(preparation.execution.arguments == [python3, "-u", "/usr/__main__.py"])
    let path = preparation.execution.environment.first { $0.hasPrefix("PATH=") }
    #expect(
      path == "PATH=\(folder.path)/home/.pyenv/versions/3.12.1/bin:/usr/local/bin:/usr/bin:/bin")
  }

  @Test func `a shim is resolved by what pyenv would choose`() throws {
    let folder = TemporaryFolder()
    install(folder, ".pyenv/versions/3.12.1")
    folder.file(".pyenv/shims/python3", "#!/bin/sh\n", mode: 0o755)
    folder.file(".pyenv/version", "3.9.9\n3.12.1\n")
    let preparation = try python(searchPath: folder.path + "/.pyenv/shims")
    #expect(
      preparation.execution.candidates == ["\(folder.path)/.pyenv/versions/3.12.1/bin/python3"])
    #expect(attached(preparation, below: folder) == [".pyenv/versions/3.12.1 read-only"])
  }

  @Test func `where the shim's choice is the system's, the next python3 on PATH is it`() throws {
    let folder = TemporaryFolder()
    folder.file(".pyenv/shims/python3", "#!/bin/sh\n", mode: 0o755)
    folder.file(".pyenv/version", "system\n")
    let next = install(folder, "other")
    let preparation = try python(searchPath: "\(folder.path)/.pyenv/shims:\(folder.path)/other/bin")
    #expect(preparation.execution.candidates == [next])
    // A shim that is named cannot be skipped.
    let error = refusal { () throws(SandboxError) in
      try python("\(folder.path)/.pyenv/shims/python3")
    }
    #expect(error?.kind == .notExecutable)
  }

  @Test func `a virtual environment brings its base along`() throws {
    let folder = TemporaryFolder()
    install(folder, "base")
    let venv = folder.folder("venv")
    folder.file("venv/pyvenv.cfg", "include-system = false\nhome = \(folder.path)/base/bin\n")
    folder.link("venv/bin/python", to: "\(folder.path)/base/bin/python3")
    let preparation = try python(venv + "/bin/python")
    #expect(attached(preparation, below: folder) == ["base read-only", "venv read-only"])
    #expect(preparation.execution.candidates == [venv + "/bin/python"])
    #expect(preparation.execution.environment.contains("VIRTUAL_ENV=\(venv)"))
    // By a name that leads there through a link, under that name.
    let name = folder.link("name", to: "venv")
    let named = try python(name + "/bin/python")
    #expect(named.execution.candidates == [name + "/bin/python"])
    #expect(named.line(for: name) == "link \(name) to \(venv)")
  }

  @Test func `links on the way to the program are there inside`() throws {
    let folder = TemporaryFolder()
    let real = install(folder, "store/cpython-3.12")
    let name = folder.link("home/bin/python3", to: real)
    folder.file("home/bin/other")
    let preparation = try python(name, home: folder.path + "/home")
    #expect(attached(preparation, below: folder) == ["store/cpython-3.12 read-only"])
    #expect(preparation.line(for: name) == "link \(name) to \(real)")
  }

  @Test(arguments: ["home", "home/.local"])
  func `a home is never an installation, though Python was put right into it`(prefix: String) throws
  {
    let folder = TemporaryFolder()
    let python3 = install(folder, prefix)
    folder.file("\(prefix)/secret")
    let preparation = try python(python3, home: folder.path + "/home")
    #expect(
      attached(preparation, below: folder) == [
        "\(prefix)/bin/python3.12 read-only", "\(prefix)/lib/python3.12 read-only",
      ])
  }

  @Test func `what is no Python is an error that names it`() {
    let folder = TemporaryFolder()
    let script = folder.file("python3", "#!/bin/sh\n", mode: 0o755)
    let plain = folder.file("plain", PythonTests.program)
    for (path, kind): (String, SandboxError.Kind) in [
      (script, .notExecutable), (plain, .notExecutable), (folder.path, .notExecutable),
      (folder.path + "/none", .notFound),
    ] {
      let error = refusal { () throws(SandboxError) in try python(path) }
      #expect(error?.kind == kind && error?.subject == path, "\(path)")
    }
    let error = refusal { () throws(SandboxError) in
      try python(searchPath: "relative:\(folder.path)")
    }
    #expect(error?.kind == .notFound && error?.subject == "python3")
  }

  @Test func `the system's Python needs nothing more`() throws {
    let folder = TemporaryFolder()
    let preparation = try prepare(
      "notebook", [], kind: "python", [("interpreter", "/usr/bin/env")],
      runtime: folder.folder("runtime"))
    #expect(attached(preparation, below: folder) == ["runtime read-only"])
    #expect(preparation.execution.hasSession)
  }

  @Test func `a missing runtime is an error`() {
    let missing = TemporaryFolder().path + "/none"
    let error = refusal { () throws(SandboxError) in
      try prepare(
        "notebook", [], kind: "python", [("interpreter", "/usr/bin/env")], runtime: missing)
    }
    #expect(error?.message == "runtime \(missing): no such file or folder")
  }
}
