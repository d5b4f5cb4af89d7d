// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CLauter
import Glibc

/// The command.
@main
struct Lauter: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lauter",
    abstract: "Run other people's code where it cannot hurt you.",
    discussion: """
      Example: run a notebook that somebody sent you; it can read its own folder and nothing else of yours, and what \
      it printed and drew is in analysis.executed.ipynb.

        lauter notebook analysis.ipynb
      """,
    version: String(cString: lauter_version()),
    subcommands: [
      RunCommand.self, NotebookCommand.self, ExplainCommand.self, DoctorCommand.self,
      FakeWorkerCommand.self,
    ])

  /// Every failure of our own ends with 125 and "lauter: …", so that it is not taken for the program's.
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let status as ExitCode {
      Glibc.exit(status.rawValue)
    } catch let failure as Failure {
      complain("lauter: \(failure.message)\n")
      Glibc.exit(failure.status)
    } catch let error as LibraryError {
      complain("lauter: \(error.message)\n")
      Glibc.exit(Failure.own)
    } catch {
      if exitCode(for: error) == .success { exit(withError: error) }
      let message = message(for: error)
      complain("lauter: \(message.prefix(1).lowercased())\(message.dropFirst())\n")
      Glibc.exit(Failure.own)
    }
  }
}
