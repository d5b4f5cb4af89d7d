// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// `lauter explain`: what `lauter run` would do.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Print a policy and what the kernel would be told, and run nothing.",
    usage: "lauter explain [<options>] -- <command> ...",
    discussion: """
      The policy is printed in the form that --policy reads; the numbered steps are those that errors of a launch \
      name.

      Example: see what a strict sandbox is made of.

        lauter explain --preset strict -- /bin/true
      """)

  @OptionGroup var launched: RunCommand

  func run() throws {
    let paths = try PathResolver.here()
    let policy = try launched.policy.makePolicy(paths)
    let steps = try launched.withLaunch(paths) { try policy.explained($0) }
    print(try policy.printed())
    print(steps, terminator: "")
  }
}
