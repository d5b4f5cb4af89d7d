// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

struct DoctorTests {
  @Test func `text is wrapped at spaces, and no word is lost`() {
    #expect("a b".wrapped(to: 10, indent: 2) == "a b\n")
    #expect("  one two three".wrapped(to: 9, indent: 4) == "  one two\n    three\n")
    #expect("averylongword next".wrapped(to: 5, indent: 2) == "averylongword\n  next\n")
    let words = (0..<50).map { "word\($0)" }
    let wrapped = words.joined(separator: " ").wrapped(to: 30, indent: 3)
    #expect(wrapped.split(whereSeparator: \.isWhitespace).map(String.init) == words)
    #expect(wrapped.split(separator: "\n").allSatisfy { $0.count <= 30 })
  }

  @Test func `what is missing comes with its cause and remedy`() throws {
    let text = """
      {"status": "failed", "presets": [
        {"preset": "notebook", "status": "failed", "missing": [], "error": {"message": "no\\u001b[2J way"}},
        {"preset": "strict", "status": "partial", "missing": ["groups", "landlock"], "error": null}],
       "checks": [
        {"id": "x", "purpose": "walls", "words": ["read"], "status": "missing", "detail": "EPERM", "cause": "why",
         "remedy": "do"},
        {"id": "y", "purpose": "p", "words": [], "status": "ok", "detail": "fine", "cause": null, "remedy": null}]}
      """
    let shown = DoctorReport(try JSON(parsing: Array(text.utf8))).text(width: 60)
    #expect(shown.contains("notebook    cannot be launched: no·[2J way\n"))
    #expect(shown.contains("strict      works, but for: groups, landlock\n"))
    #expect(shown.contains("\nMissing\n  x"))
    for line in ["is for:   walls (read)", "cause:    why", "remedy:   do"] {
      #expect(shown.contains("    \(line)\n"), "\(shown)")
    }
    #expect(shown.contains("\nThere\n  y                    fine\n"))
  }
}
