// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import LauterSandbox

@Suite struct HostFileTests {
  /// A child exchanges `above` for a link to a folder with a file of the same name, as fast as it can.
  @Test func `a file is never taken through a link for another`() throws {
    let folder = TemporaryFolder()
    _ = (folder.folder("above/file"), folder.folder("elsewhere/file"))
    folder.link("link", to: "elsewhere")
    let path = "\(folder.path)/above/file"
    let there = try HostFile(resolving: path)
    let elsewhere = try HostFile(resolving: "\(folder.path)/link/file")
    try #require(there.inode != elsewhere.inode && elsewhere.path.contains("elsewhere"))

    var swapper: pid_t = 0
    let program = """
      import ctypes, os, sys
      above, link = (bytes(os.path.join(sys.argv[1], name), 'utf-8') for name in ('above', 'link'))
      libc = ctypes.CDLL(None)
      while os.getppid() != 1: libc.renameat2(-100, above, -100, link, 2)
      """
    let words = ["python3", "-c", program, folder.path]
    let arguments = words.map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    try #require(posix_spawn(&swapper, "/usr/bin/python3", nil, nil, arguments, environ) == 0)
    defer {
      kill(swapper, SIGKILL)
      waitpid(swapper, nil, 0)
    }

    var seen: Set<String> = []
    var refused = 0
    var looks = 0
    while looks < 30_000 || seen.count < 2 {
      looks += 1
      try #require(looks < 3_000_000, "only \(seen) was seen")
      guard let file = HostFile.existing(path) else {
        refused += 1
        continue
      }
      // By one of the two names that a folder has in turn, or by the other.
      seen.insert(file.path)
      if file.inode != (file.path == there.path ? there : elsewhere).inode {
        Issue.record("\(file.path) was looked at through a link, at the \(looks)th try")
        return
      }
    }
    #expect(refused < looks / 10)
  }
}
