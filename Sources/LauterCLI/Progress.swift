// SPDX-License-Identifier: Apache-2.0

/// Shows how a notebook's run goes: a line for each cell and, on a terminal, a bar below them.
///
/// Where it writes is a closure, so that tests read what a terminal would.
struct Progress {
  struct Style {
    /// Whether the bar is drawn and erased with escape sequences.
    var isTerminal = false
    var hasColor = false
    var columns = 80
  }

  let style: Style
  let total: Int
  private let write: (String) -> Void
  private var done = 0
  private var running: CellReport?
  private var hasBar = false

  init(total: Int, style: Style, write: @escaping (String) -> Void) {
    self.total = total
    self.style = style
    self.write = write
  }

  /// A cell begins.
  mutating func begin(_ cell: CellReport) {
    running = cell
    draw(elapsed: 0)
  }

  /// Time passes: redraw the bar.
  mutating func tick(elapsed: Double) { draw(elapsed: elapsed) }

  /// A cell ended.
  mutating func end(_ cell: CellReport) {
    running = nil
    done += 1
    let indent = String(repeating: " ", count: 2 * digits + 4)
    var text = bare(line(of: cell))
    for detail in [cell.error].compactMap(\.self) + cell.notes {
      text += bare(
        indent + detail.harmless.cut(to: max(20, style.isTerminal ? columns - indent.count : 400)))
    }
    show(text)
  }

  /// Say something that belongs to no cell.
  mutating func say(_ sentence: String) { show(bare(sentence.harmless)) }

  /// Remove the bar.
  mutating func finish() {
    running = nil
    show("")
  }

  private var digits: Int { String(total).count }
  private var columns: Int { max(40, style.columns) }

  private func line(of cell: CellReport) -> String {
    let number = String(cell.number).leftPadded(to: digits)
    let time = timeText(seconds: cell.seconds).leftPadded(to: 8)
    let head = "[\(number)/\(total)] "
    let room = (style.isTerminal ? columns : 400) - head.count - time.count - 18
    let said = cell.said.isEmpty ? "" : "  (\(cell.said))"
    return head + colored(cell.mark, cell.color) + time + "  " + cell.title.cut(to: max(10, room))
      + said
  }

  private func bare(_ line: String) -> String { line + "\n" }

  private func colored(_ text: String, _ color: Int) -> String {
    style.hasColor ? "\u{1b}[\(color)m\(text)\u{1b}[0m" : text
  }

  /// Write whole lines above the bar.
  private mutating func show(_ lines: String) {
    write((hasBar ? "\r\u{1b}[K" : "") + lines)
    hasBar = false
  }

  private mutating func draw(elapsed: Double) {
    guard style.isTerminal, let running else { return }
    let width = 20
    let filled = total == 0 ? width : done * width / total
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    let head = "\(bar) \(String(done).leftPadded(to: digits))/\(total)  "
    let time = elapsed < 1 ? "" : "\(timeText(seconds: elapsed.rounded(.down)))  "
    write(
      "\r\u{1b}[K" + head + time
        + running.title.cut(to: max(1, columns - head.count - time.count - 1)))
    hasBar = true
  }
}

extension CellReport {
  fileprivate var mark: String {
    switch status {
    case .ok: "✓"
    case _ where isExpected: "•"
    default: "✗"
    }
  }

  /// ANSI: green, yellow, red.
  fileprivate var color: Int { status == .ok ? 32 : isExpected ? 33 : 31 }

  fileprivate var said: String {
    switch status {
    case .ok: ""
    case .failed: isExpected ? "failed, as the notebook expects" : "failed"
    case .interrupted: "interrupted"
    case .timedOut: "timed out"
    case .died: "the worker died"
    }
  }
}
