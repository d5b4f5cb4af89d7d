// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Testing

@testable import LauterCLI

private let paths = PathResolver(directory: "/w", home: "/h")

struct OptionTests {
  @Test func `flags become policy words with absolute paths`() throws {
    let options = try PolicyOptions.parse(
      [
        "--write", "out", "--read", "~/a", "--read", "/b", "--deny", "../c", "--home", "private",
        "--net", "none",
      ]
        + ["--tmp", "1M", "--run", "any", "--env", "A=-b", "--env", "B", "--limit", "memory=1G"]
        + ["--allow-missing", "landlock"])
    #expect(
      try options.words(paths).map { "\($0.name) \($0.value)" } == [
        "read /h/a", "read /b", "write /w/out", "deny /c", "home private", "tmp 1M", "net none",
        "run any",
        "env A=-b", "env B", "limit memory=1G", "allow-missing landlock",
      ])
    #expect(
      try PolicyOptions.parse(["--home", "x"]).words(paths) == [.init(name: "home", value: "/w/x")])
  }

  @Test func `a policy file's paths are relative to it`() throws {
    let text = "# preset strict\nread data\n\nwrite /abs\nhome private\nhome ~/x\nnet none\nread"
    #expect(
      try PolicyOptions.resolvingPaths(of: text, paths, called: "p")
        == "# preset strict\nread /w/data\n\nwrite /abs\nhome private\nhome /h/x\nnet none\nread")
    #expect(PolicyOptions.preset(of: text) == "strict")
    #expect(PolicyOptions.preset(of: "read /x") == nil)
    #expect(throws: Failure.self) {
      try PolicyOptions.resolvingPaths(of: "read ~bob", paths, called: "p")
    }
  }

  @Test func `the command follows the options, with or without a double dash`() throws {
    func command(_ arguments: [String]) throws -> [String]? {
      (try Lauter.parseAsRoot(["run"] + arguments) as? RunCommand)?.command
    }
    #expect(try command(["--read", "x", "--", "ls", "-l", "--", "a"]) == ["ls", "-l", "--", "a"])
    #expect(try command(["--net", "none", "ls", "-l"]) == ["ls", "-l"])
    #expect(try command(["ls", "--read", "x"]) == ["ls", "--read", "x"])
    for wrong in [[], ["--"], ["--raed", "x", "ls"]] {
      #expect(throws: (any Error).self) { try command(wrong) }
    }
  }

  @Test func `a notebook's flags are read`() throws {
    let command = try #require(
      try Lauter.parseAsRoot(
        [
          "notebook", "a.ipynb", "--input", "-1", "--input", "b", "--cell-timeout", "5s",
          "--on-death", "stop",
        ]
          + ["--max-output", "10K", "--read", "x"]) as? NotebookCommand)
    #expect(command.input == ["-1", "b"])
    #expect(command.cellTimeout?.milliseconds == 5000)
    #expect(command.onDeath == .stop)
    #expect(command.maxOutput?.bytes == 10_240)
    #expect(command.policy.read == ["x"])
    #expect(throws: (any Error).self) {
      try Lauter.parseAsRoot(["notebook", "a", "--cell-timeout", "5"])
    }
  }
}
