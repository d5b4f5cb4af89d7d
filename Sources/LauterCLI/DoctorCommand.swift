// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Glibc

/// `lauter doctor`: what this machine can enforce for the present user, and the remedy for what it cannot.
struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Find out what this machine can enforce for you, and the remedy for what it cannot.",
    discussion: """
      Nothing is guessed from version numbers: each thing that a sandbox is made of is done once in a process that ends \
      at once, and a small program is started in each preset. Each user and each container has an answer of its own, so \
      ask as whoever will run the host.

      The exit status is 0 if every preset and every word of a policy can be enforced in full, 1 if every preset can be \
      launched but something is missing, 2 if a preset cannot be launched, and 125 if lauter itself failed.

      Example: say what is amiss, and refuse to go on where no sandbox can be had.

        lauter doctor
        lauter doctor --json > doctor.json || [ $? -eq 1 ] || exit
      """)

  @Flag(help: "Print one JSON object; lauter.h describes it at lauter_doctor().")
  var json = false

  func run() throws {
    let (status, text) = try doctor()
    if json {
      print(text)
    } else {
      var width = 80
      var window = winsize()
      if ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_col >= 40 {
        width = min(Int(window.ws_col), 120)
      }
      guard let report = try? JSON(parsing: Array(text.utf8)) else {
        throw Failure("the library's report is no JSON")
      }
      print(DoctorReport(report).text(width: width), terminator: "")
    }
    if status != 0 { throw ExitCode(status) }
  }
}

/// The library's JSON, for people.
struct DoctorReport {
  private let report: JSON

  init(_ report: JSON) { self.report = report }

  func text(width: Int) -> String {
    var text = ""
    for preset in report["presets"].elements {
      let name = preset["preset"].shown.padded(to: 12)
      let line: String
      switch preset["status"].shown {
      case "full": line = "works"
      case "partial":
        line = "works, but for: " + preset["missing"].elements.map(\.shown).joined(separator: ", ")
      default: line = "cannot be launched: " + preset["error"]["message"].shown
      }
      text += (name + line).wrapped(to: width, indent: 12)
    }
    let checks = report["checks"].elements
    for (title, status) in [("Missing", "missing"), ("Missing in part", "tolerated")] {
      let found = checks.filter { $0["status"].shown == status }
      if !found.isEmpty { text += "\n\(title)\n" }
      for check in found { text += entry(check, width) }
    }
    text += "\nThere\n"
    for check in checks where check["status"].shown == "ok" {
      text += line(check, width)
    }
    text += "\nFor your information\n"
    for check in checks where check["status"].shown == "info" { text += entry(check, width) }
    return text
  }

  private func line(_ check: JSON, _ width: Int) -> String {
    ("  " + check["id"].shown.padded(to: 21) + check["detail"].shown).wrapped(to: width, indent: 23)
  }

  /// With what it is for, and what to do about it.
  private func entry(_ check: JSON, _ width: Int) -> String {
    var text = line(check, width)
    func tell(_ what: String, _ words: String) {
      guard !words.isEmpty else { return }
      text += ("    " + (what + ":").padded(to: 10) + words).wrapped(to: width, indent: 14)
    }
    let words = check["words"].elements.map(\.shown).joined(separator: ", ")
    if check["status"].shown != "info" {
      tell("is for", check["purpose"].shown + (words.isEmpty ? "" : " (\(words))"))
    }
    tell("cause", check["cause"].shown)
    tell("remedy", check["remedy"].shown)
    return text
  }
}

extension JSON {
  fileprivate subscript(name: String) -> JSON {
    guard case .object(let object) = self else { return .null }
    return object[name] ?? .null
  }
  fileprivate var elements: [JSON] {
    guard case .array(let elements) = self else { return [] }
    return elements
  }
  fileprivate var shown: String {
    guard case .string(let text) = self else { return "" }
    return text.harmless
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(1, width - columns))
  }

  /// As lines of at most `width` columns, broken at spaces; all but the first are indented.
  func wrapped(to width: Int, indent: Int) -> String {
    var lines: [String] = []
    var line = String(prefix { $0 == " " })
    var isEmpty = true
    for word in split(separator: " ", omittingEmptySubsequences: false) {
      if isEmpty && word.isEmpty { continue }
      if !isEmpty && line.columns + 1 + String(word).columns > width && line.columns > indent {
        lines.append(line)
        line = String(repeating: " ", count: indent) + word
      } else {
        line += (isEmpty ? "" : " ") + word
      }
      isEmpty = false
    }
    return (lines + [line]).joined(separator: "\n") + "\n"
  }
}
