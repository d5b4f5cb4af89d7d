// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

/// What a progress display wrote.
private final class Screen {
  var text = ""
}

private func cell(_ number: Int, _ status: CellReport.Status = .ok, title: String = "t")
  -> CellReport
{
  var cell = CellReport(number: number, title: title)
  cell.status = status
  cell.seconds = 0.42
  return cell
}

struct ProgressTests {
  @Test func `without a terminal there are plain lines and nothing else`() {
    let screen = Screen()
    var progress = Progress(total: 16, style: .init()) { screen.text += $0 }
    progress.begin(cell(3))
    progress.tick(elapsed: 5)
    progress.end(cell(3, title: "numpy: solve"))
    var failed = cell(4, .failed)
    failed.error = "OSError: \u{1b}[2J"
    failed.notes = ["outside the policy; allow it with --read /x"]
    progress.end(failed)
    progress.finish()
    #expect(
      screen.text == """
        [ 3/16] ✓  0.42 s  numpy: solve
        [ 4/16] ✗  0.42 s  t  (failed)
                OSError: ·[2J
                outside the policy; allow it with --read /x

        """)
  }

  @Test func `a terminal gets a bar that goes when a line comes`() {
    let screen = Screen()
    let style = Progress.Style(isTerminal: true, hasColor: false, columns: 60)
    var progress = Progress(total: 2, style: style) { screen.text += $0 }
    progress.begin(cell(1, title: String(repeating: "x", count: 100)))
    #expect(screen.text.hasPrefix("\r\u{1b}[K░"))
    #expect(screen.text.dropFirst(4).columns < 60)
    screen.text = ""
    progress.end(cell(1, title: String(repeating: "x", count: 100)))
    #expect(screen.text.hasPrefix("\r\u{1b}[K[1/2] ✓"))
    #expect(screen.text.dropFirst(4).columns < 60)
    screen.text = ""
    progress.begin(cell(2))
    #expect(screen.text.contains("██████████░░░░░░░░░░ 1/2"))
    screen.text = ""
    progress.finish()
    #expect(screen.text == "\r\u{1b}[K")
  }

  @Test func `each way to end is told apart, and what the notebook expects is no failure`() {
    let screen = Screen()
    var progress = Progress(total: 9, style: .init()) { screen.text += $0 }
    for status in [CellReport.Status.interrupted, .timedOut, .died] {
      progress.end(cell(1, status))
    }
    for word in ["(interrupted)", "(timed out)", "(the worker died)"] {
      #expect(screen.text.contains(word))
    }
    var expected = cell(2, .died)
    #expect(expected.isFailure)
    expected.isExpected = true
    #expect(!expected.isFailure)
  }
}

extension Substring {
  fileprivate var columns: Int { String(self).columns }
}
