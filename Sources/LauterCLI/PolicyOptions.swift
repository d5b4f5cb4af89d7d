// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// The flags that make a policy: the same words as in a policy's text.
struct PolicyOptions: ParsableArguments {
  @Option(help: "What to start from: notebook, strict or unconfined (default: notebook).")
  var preset: String?

  @Option(help: ArgumentHelp("A policy text: one 'word value' a line.", valueName: "file"))
  var policy: String?

  @Option(help: ArgumentHelp("Let it read this file or folder.", valueName: "path"))
  var read: [String] = []

  @Option(help: ArgumentHelp("Let it read and write this file or folder.", valueName: "path"))
  var write: [String] = []

  @Option(
    help: ArgumentHelp("Hide this file or folder; the most specific path wins.", valueName: "path"))
  var deny: [String] = []

  @Option(help: ArgumentHelp("The size of its own /tmp.", valueName: "size"))
  var tmp: String?

  @Option(help: ArgumentHelp("Its home: private, none or a folder.", valueName: "home"))
  var home: String?

  @Option(
    help: ArgumentHelp(
      "Its network: none, private (a loopback of its own) or host.", valueName: "net"))
  var net: String?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Set a variable, or pass on yours: NAME=VALUE or NAME.", valueName: "variable"))
  var env: [String] = []

  @Option(
    help: ArgumentHelp("Whether it may execute further programs: any or none.", valueName: "run"))
  var run: String?

  @Option(
    help: ArgumentHelp(
      "Whether it may execute code that it computes or writes itself: any or none.",
      valueName: "jit"))
  var jit: String?

  @Option(
    help: ArgumentHelp(
      "Whether it may make namespaces of its own, and mounts in them, as other sandboxes and "
        + "containers need them: any or none.", valueName: "nest"))
  var nest: String?

  @Option(
    help: ArgumentHelp(
      "What comes of system calls that attack the machine: tell (they fail, and you are told), kill "
        + "(they end it), silent (they fail) or observe (none is refused: no sandbox).",
      valueName: "violations"))
  var violations: String?

  @Option(
    help: ArgumentHelp(
      "memory=SIZE, processes=N, cpus=N, open-files=N, file-size=SIZE, output=SIZE, arena=SIZE, cpu=TIME or wall=TIME; "
        + "'none' lifts a limit.", valueName: "limit"))
  var limit: [String] = []

  @Option(
    help: ArgumentHelp("Go on where this machine cannot enforce this word.", valueName: "word"))
  var allowMissing: [String] = []

  @Option(help: ArgumentHelp("A name for reports and messages.", valueName: "text"))
  var label: String?

  @Option(help: ArgumentHelp("Write the exit report here, as JSON.", valueName: "file"))
  var report: String?

  /// A line of a policy.
  struct Word: Equatable {
    var name: String
    var value: String
  }

  /// What the flags say, in policy words with absolute paths.
  func words(_ paths: PathResolver) throws(Failure) -> [Word] {
    var words: [Word] = []
    for (name, values) in [("read", read), ("write", write), ("deny", deny)] {
      for value in values { words.append(Word(name: name, value: try paths.resolve(value))) }
    }
    if let home {
      words.append(
        Word(
          name: "home", value: ["private", "none"].contains(home) ? home : try paths.resolve(home)))
    }
    let single = [
      ("tmp", tmp), ("net", net), ("run", run), ("jit", jit), ("nest", nest),
      ("violations", violations),
    ]
    words += single.compactMap { name, value in value.map { Word(name: name, value: $0) } }
    for (name, values) in [("env", env), ("limit", limit), ("allow-missing", allowMissing)] {
      words += values.map { Word(name: name, value: $0) }
    }
    return words
  }

  /// The policy: `first`, then the policy file, then the flags.
  func makePolicy(_ paths: PathResolver, first: [Word] = []) throws -> Policy {
    var text: String?
    if let file = self.policy {
      let path = try paths.resolve(file)
      guard let content = String(validating: try readFile(path, called: file), as: UTF8.self) else {
        throw Failure("\(file): is not UTF-8")
      }
      let beside = PathResolver(directory: splitPath(path).folder, home: paths.home)
      text = try PolicyOptions.resolvingPaths(of: content, beside, called: file)
    }
    let policy = try Policy(preset: preset ?? text.flatMap(PolicyOptions.preset(of:)) ?? "notebook")
    for word in first { try policy.set(word.name, word.value) }
    if let text {
      do { try policy.parse(text) } catch {
        throw Failure("\(self.policy ?? ""): \(error.message)")
      }
    }
    for word in try words(paths) { try policy.set(word.name, word.value) }
    return policy
  }

  /// The preset that a printed policy names in the comment that it begins with.
  static func preset(of text: String) -> String? {
    guard let line = text.split(whereSeparator: \.isNewline).first, line.hasPrefix("#") else {
      return nil
    }
    let words = line.dropFirst().split(whereSeparator: \.isWhitespace)
    return words.count == 2 && words[0] == "preset" ? String(words[1]) : nil
  }

  /// A policy text with its relative paths and `~` resolved: relative to the file that they stand in.
  static func resolvingPaths(of text: String, _ paths: PathResolver, called file: String)
    throws(Failure) -> String
  {
    // A policy's lines end at line feeds alone, and its values write a backslash as two.
    let escaped = PathResolver(
      directory: paths.directory.escapedForPolicy, home: paths.home?.escapedForPolicy)
    var lines: [String] = []
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let words = Substring(line).split(maxSplits: 1, whereSeparator: \.isWhitespace)
      let value = words.count == 2 ? String(words[1]).trimmed : ""
      let isPath: Bool =
        switch words.first {
        case "read", "write", "deny": !value.isEmpty
        case "home": !["", "private", "none"].contains(value)
        default: false
        }
      guard isPath else {
        lines.append(String(Substring(line)))
        continue
      }
      do throws(Failure) {
        lines.append("\(words[0]) \(try escaped.resolve(value))")
      } catch {
        throw Failure("\(file): line \(lines.count + 1): \(error.message)")
      }
    }
    return lines.joined(separator: "\n")
  }
}

extension String {
  /// As a policy text writes it: `\n`, `\r`, `\t`, `\s` and `\\` for what would end a line or be trimmed.
  fileprivate var escapedForPolicy: String {
    var result = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case " ": result += "\\s"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
