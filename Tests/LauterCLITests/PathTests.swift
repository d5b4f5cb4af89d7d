// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import LauterCLI

/// A folder that is removed with everything in it.
final class Scratch {
  let path: String

  init() {
    var template = Array("/tmp/lauter-cli-XXXXXX".utf8CString)
    path = realPath(String(cString: mkdtemp(&template)))!
  }

  deinit {
    let names = (try? names()) ?? []
    for name in names where unlink("\(path)/\(name)") != 0 { rmdir("\(path)/\(name)") }
    rmdir(path)
  }

  func names() throws -> [String] {
    guard let folder = opendir(path) else { throw Failure(errorText(errno)) }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}

struct PathTests {
  let paths = PathResolver(directory: "/some/here", home: "/home/ann")

  @Test(arguments: [
    ("a", "/some/here/a"), (".", "/some/here"), ("./a//b/", "/some/here/a/b"), ("~", "/home/ann"),
    ("~/x", "/home/ann/x"), ("/a/./b", "/a/b"), ("/nonexistent/../b", "/b"), ("../x", "/some/x"),
    ("/..", "/"),
    ("a~", "/some/here/a~"),
  ])
  func `a path is made absolute`(path: String, absolute: String) throws {
    #expect(try paths.resolve(path) == absolute)
  }

  @Test func `no home, another's home and nothing are errors`() {
    #expect(throws: Failure.self) { try PathResolver(directory: "/", home: nil).resolve("~/x") }
    #expect(throws: Failure.self) { try paths.resolve("~bob/x") }
    #expect(throws: Failure.self) { try paths.resolve("") }
  }

  @Test func `the parent of a symbolic link is where it leads`() throws {
    let scratch = Scratch()
    mkdir("\(scratch.path)/folder", 0o755)
    symlink("/usr/bin", "\(scratch.path)/link")
    let resolver = PathResolver(directory: scratch.path, home: nil)
    #expect(try resolver.resolve("folder/../x") == "\(scratch.path)/x")
    #expect(try resolver.resolve("link/../share") == "/usr/share")
    #expect(try resolver.resolve("link") == "\(scratch.path)/link")
  }

  @Test func `the executed notebook lies beside its source`() {
    #expect(NotebookCommand.executedPath("/a/b.ipynb") == "/a/b.executed.ipynb")
    #expect(NotebookCommand.executedPath("/a/b") == "/a/b.executed.ipynb")
  }

  @Test func `only what a folder holds is within it`() {
    #expect(isPath("/a/b", within: "/a") && isPath("/a", within: "/a") && isPath("/a", within: "/"))
    #expect(!isPath("/ab", within: "/a") && !isPath("/", within: "/a"))
  }
}

struct SafeFileTests {
  let scratch = Scratch()

  @Test func `a file is replaced whole, keeps its mode, and nothing else is left`() throws {
    let path = "\(scratch.path)/x"
    try SafeFile(path).write(Array("old".utf8))
    chmod(path, 0o600)
    let file = try SafeFile(path)
    #expect(try readFile(path, called: path) == Array("old".utf8))
    try file.write(Array("new".utf8))
    #expect(try readFile(path, called: path) == Array("new".utf8))
    #expect(try scratch.names() == ["x"])
    var status = stat()
    stat(path, &status)
    #expect(status.st_mode & 0o777 == 0o600)
  }

  @Test func `a link that is planted later is replaced, not followed`() throws {
    let (path, victim) = ("\(scratch.path)/x", "\(scratch.path)/victim")
    try SafeFile(victim).write([1])
    let file = try SafeFile(path)
    symlink(victim, path)
    try file.write([2])
    #expect(try readFile(victim, called: victim) == [1])
    #expect(try readFile(path, called: path) == [2])
  }

  @Test func `a link that was there is followed`() throws {
    let (path, real) = ("\(scratch.path)/x", "\(scratch.path)/real")
    try SafeFile(real).write([1])
    symlink(real, path)
    try SafeFile(path).write([2])
    #expect(try readFile(real, called: real) == [2])
  }

  @Test func `what cannot be written is known before`() {
    #expect(throws: Failure.self) { try SafeFile("\(scratch.path)/missing/x") }
    #expect(throws: Failure.self) { try SafeFile(scratch.path) }
    #expect(throws: Failure.self) { try SafeFile("/proc/x") }
    #expect(throws: Failure.self) { try SafeFile("/dev/null") }
  }
}
