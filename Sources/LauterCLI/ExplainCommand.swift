// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// `lauter explain`: what `lauter run` would do.
struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Print a policy and what the kernel would be told, and run nothing.",
    usage: "lauter explain [--diff <preset|file>] [<options>] -- <command> ...",
    discussion: """
      The policy is printed in the form that --policy reads; the numbered steps are those that errors of a launch \
      name.

      With --diff, what is told is only how that differs from another policy for the same command, which comes first: \
      '-' is the other policy's alone, '+' this one's alone. The steps have the numbers of their own plan. The exit \
      status is then that of diff: 0 if the policies and their steps are the same, 1 if they differ.

      Example: see what a strict sandbox is made of, and what sets it apart from a notebook's.

        lauter explain --preset strict -- /bin/true
        lauter explain --preset strict --diff notebook -- /bin/true
      """)

  @OptionGroup var launched: RunCommand

  @Option(
    help: ArgumentHelp(
      "Tell how it differs from a preset, or from the policy in a file (./strict for a file of that name).",
      valueName: "preset|file"))
  var diff: String?

  func run() throws {
    let paths = try PathResolver.here()
    let new = try explanation(of: try launched.policy.makePolicy(paths), paths)
    guard let diff else {
      print(new.policy)
      print(new.steps, terminator: "")
      return
    }
    var other = try PolicyOptions.parse([])
    if (try? Policy(preset: diff)) != nil { other.preset = diff } else { other.policy = diff }
    let old = try explanation(of: try other.makePolicy(paths), paths)
    guard let text = new.difference(from: old, called: diff) else { return }
    print(text, terminator: "")
    throw ExitCode(1)
  }

  private func explanation(of policy: Policy, _ paths: PathResolver) throws -> Explanation {
    let window = launched.interactive ? TerminalWindow() : nil
    let steps = try launched.withLaunch(policy, paths, window) { try policy.explained($0) }
    return Explanation(policy: try policy.printed(), steps: steps)
  }
}

/// A policy's text and its plan's.
struct Explanation {
  var policy: String
  var steps: String

  /// How it differs from `old`, word by word and step by step; nil if it does not.
  func difference(from old: Explanation, called name: String) -> String? {
    let words = LineDiff(from: lines(of: old.policy), to: lines(of: policy))
    let (oldSteps, newSteps) = (numbered(old.steps), numbered(steps))
    let steps = LineDiff(from: oldSteps.map(\.text), to: newSteps.map(\.text))
    if words.isEmpty && steps.isEmpty { return nil }
    var text = "--- \(name.harmless)\n+++ this policy\n"
    for line in words.hunks(context: 2) {
      text += line.map { "\($0.change.rawValue)\($0.text.harmless)\n" } ?? " …\n"
    }
    if !words.isEmpty && !steps.isEmpty { text += "\n" }
    for line in steps.hunks(context: 2) {
      guard let line else {
        text += "      …\n"
        continue
      }
      let step = (line.change == .removed ? oldSteps : newSteps)[line.index]
      text += "\(line.change.rawValue)\(step.number.leftPadded(to: 4))  \(step.text.harmless)\n"
    }
    return text
  }
}

private func lines(of text: String) -> [String] {
  text.utf8.split(separator: UInt8(ascii: "\n")).map { String(Substring($0)) }
}

/// The lines of a plan, which shift their numbers where one comes in. What is no step has none.
private func numbered(_ steps: String) -> [(number: String, text: String)] {
  lines(of: steps).map { line in
    let digits = line.prefix { $0.isNumber }
    guard !digits.isEmpty else { return ("", line) }
    return (String(digits), String(line.dropFirst(digits.count).drop { $0 == " " }))
  }
}
