// SPDX-License-Identifier: Apache-2.0

/// What to do to make one list of lines another, as diff(1) tells it.
struct LineDiff: Equatable {
  enum Change: Character { case same = " ", removed = "-", added = "+" }

  struct Line: Equatable {
    var change: Change
    var text: String
    /// Its place among the new lines, or among the old ones where it was removed.
    var index: Int
  }

  let lines: [Line]

  /// The fewest changes (the standard library's is Myers' algorithm).
  init(from old: [String], to new: [String]) {
    // By bytes: to `String`'s own equality different paths are the same where they differ in normal form.
    let difference = new.map { Array($0.utf8) }.difference(from: old.map { Array($0.utf8) })
    var removed = Set<Int>()
    var added = Set<Int>()
    for change in difference {
      switch change {
      case .remove(let offset, _, _): removed.insert(offset)
      case .insert(let offset, _, _): added.insert(offset)
      }
    }
    var lines: [Line] = []
    var (from, to) = (0, 0)
    while from < old.count || to < new.count {
      if removed.contains(from) {
        lines.append(Line(change: .removed, text: old[from], index: from))
        from += 1
      } else if added.contains(to) {
        lines.append(Line(change: .added, text: new[to], index: to))
        to += 1
      } else {
        lines.append(Line(change: .same, text: new[to], index: to))
        (from, to) = (from + 1, to + 1)
      }
    }
    self.lines = lines
  }

  var isEmpty: Bool { lines.allSatisfy { $0.change == .same } }

  /// The changes with `context` lines around each; runs of lines that are left out between them are nil.
  func hunks(context: Int) -> [Line?] {
    var shown = Set<Int>()
    for index in lines.indices where lines[index].change != .same {
      shown.formUnion(max(0, index - context)...min(lines.count - 1, index + context))
    }
    var result: [Line?] = []
    for index in lines.indices {
      if shown.contains(index) {
        result.append(lines[index])
      } else if !shown.isEmpty, index == 0 || shown.contains(index - 1) {
        result.append(nil)
      }
    }
    return result
  }
}
