// SPDX-License-Identifier: Apache-2.0

/// Why a file is not a notebook that can be run: a sentence without the file's name.
struct NotebookError: Error, Equatable {
  var message: String
}

/// A notebook of nbformat 4. What Lauter does not know of it stays as it was.
///
/// It is written as nbformat writes it (members sorted, one space a level, source as a list of lines), which makes no
/// difference in what Jupyter wrote itself.
struct Notebook {
  /// The whole document but for `cells`.
  private var document: JSON.Object
  var cells: [Cell]
  /// The 5 in nbformat 4.5.
  let minor: Int

  struct Cell {
    /// The cell but for what running it changes.
    fileprivate var fields: JSON.Object
    let kind: Kind
    let source: String
    let tags: Set<String>
    /// What running it gave; nil leaves the outputs that the file had.
    var outcome: Outcome?
  }

  enum Kind: Equatable { case code, other }

  struct Outcome {
    var count: Int?
    var outputs: [JSON]
  }

  /// What is odd about the file and does not keep it from being run, a sentence each.
  private(set) var warnings: [String] = []

  /// - Parameter isForced: whether to take it for Python, whatever it says itself.
  init(parsing bytes: [UInt8], isForced: Bool = false) throws(NotebookError) {
    let value: JSON
    do throws(JSONError) {
      value = try JSON(parsing: bytes, asPython: true)
    } catch {
      throw NotebookError(message: Notebook.whyNotJSON(bytes, error))
    }
    guard var document = value.object, let major = document["nbformat"]?.integer else {
      throw NotebookError(message: "it is JSON but no notebook: it does not say its nbformat")
    }
    guard major == 4 else { throw .init(message: Notebook.wrongVersion(major)) }
    let kernel = NotebookKernel(document["metadata"])
    if !isForced, let why = kernel.whyNotPython { throw .init(message: why) }
    guard let cells = document["cells"]?.array else {
      throw NotebookError(message: "it has no list of cells")
    }
    minor = document["nbformat_minor"]?.integer ?? 0
    document["cells"] = nil
    self.document = document
    self.cells = []
    if minor > 5 {
      warnings.append("it is of nbformat 4.\(minor): what is newer in it than 4.5 stays as it is")
    }
    if let warning = kernel.warning { warnings.append(warning) }
    for (index, cell) in cells.enumerated() {
      self.cells.append(try Cell(cell, number: index + 1, &warnings))
    }
    if minor >= 5 { completeIDs() }
  }

  private static func wrongVersion(_ major: Int) -> String {
    if major > 4 { return "it is of nbformat \(major), newer than the 4 that lauter reads" }
    return "it is of nbformat \(major); convert it first: "
      + "jupyter nbconvert --to notebook --nbformat 4 FILE"
  }

  /// What is commonly found under the name of a notebook, or the place where it is no JSON.
  private static func whyNotJSON(_ bytes: [UInt8], _ error: JSONError) -> String {
    let begins = { (text: StaticString) in
      text.withUTF8Buffer { bytes.prefix($0.count).elementsEqual($0) }
    }
    if bytes.allSatisfy({ $0 <= 0x20 }) { return "it is empty" }
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
      return "it is UTF-16; a notebook is UTF-8"
    }
    if begins("version https://git-lfs") {
      return "it stands for a file that Git LFS has; fetch that first: git lfs pull"
    }
    let place = "it is not JSON: line \(error.line), column \(error.column): \(error.message)"
    let rest = bytes[min(error.offset, bytes.count)...]
    if ["<<<<<<< ", "=======", ">>>>>>> "].contains(where: { rest.starts(with: $0.utf8) }) {
      return "\(place): a merge left its conflicts in it"
    }
    if bytes.first(where: { $0 > 0x20 && $0 < 0x80 }) == UInt8(ascii: "<") {
      return "\(place): it looks like a web page; download the notebook itself (the raw file)"
    }
    return place
  }

  /// Give an id to each cell that has none or another's, which nbformat 4.5 does not allow.
  private mutating func completeIDs() {
    var taken = Set(cells.compactMap { $0.fields["id"]?.text })
    var seen: Set<String> = []
    var renamed: [Int] = []
    for index in cells.indices {
      if let id = cells[index].fields["id"]?.text {
        if seen.insert(id).inserted { continue }
        renamed.append(index + 1)
      }
      var number = index + 1
      while taken.contains("cell-\(number)") { number += cells.count }
      let id = "cell-\(number)"
      taken.insert(id)
      seen.insert(id)
      cells[index].fields["id"] = .string(id)
    }
    if !renamed.isEmpty {
      let which = renamed.count == 1 ? "cell \(renamed[0])" : "\(renamed.count) cells"
      warnings.append("\(which) had the id of an earlier cell and got a new one")
    }
  }

  /// The notebook as bytes, written as nbformat writes it.
  func written() -> [UInt8] {
    var whole = document
    whole["cells"] = .array(cells.map { .object($0.written()) })
    return JSON.object(whole).written() + [UInt8(ascii: "\n")]
  }
}

extension Notebook.Cell {
  fileprivate init(_ value: JSON, number: Int, _ warnings: inout [String]) throws(NotebookError) {
    guard let fields = value.object, let type = fields["cell_type"]?.text else {
      throw NotebookError(message: "its cell \(number) has no cell_type")
    }
    let text = fields["source"]?.multilineText
    if type == "code", text == nil {
      throw NotebookError(message: "its cell \(number) has no source")
    }
    self.fields = fields
    kind = type == "code" ? .code : .other
    source = text ?? ""
    tags = Set((fields["metadata"]?["tags"]?.array ?? []).compactMap(\.text))
    if !["code", "markdown", "raw"].contains(type) {
      warnings.append(
        "cell \(number) is of the unknown type \(type.harmless.cut(to: 60)) and stays as it is")
    }
    if kind == .code, fields["source"]?.isTorn == true {
      warnings.append("cell \(number) holds half a surrogate pair, which is run as U+FFFD")
    }
  }

  /// Whether there is something in it to execute.
  var isExecutable: Bool {
    kind == .code && !tags.contains("skip-execution") && !source.allSatisfy(\.isWhitespace)
  }

  /// What a person would call the cell: its first comment, else its first line of code.
  var title: String {
    let lines = source.split(whereSeparator: \.isNewline).map(\.trimmed).filter { !$0.isEmpty }
    let comment = lines.first { $0.hasPrefix("#") && $0.contains { $0 != "#" && $0 != " " } }
    let chosen = comment.map { String($0.drop { $0 == "#" }).trimmed } ?? lines.first ?? ""
    return chosen.harmless
  }

  fileprivate func written() -> JSON.Object {
    var cell = fields
    // A whole string becomes a list of lines; what is no text at all, or not all text, stays.
    if let source = fields["source"], !source.isTorn, source.multilineText != nil {
      cell["source"] = .lines(self.source)
    }
    if cell["metadata"] == nil { cell["metadata"] = [:] }
    if kind == .code {
      if let outcome {
        cell["outputs"] = .array(outcome.outputs)
        cell["execution_count"] = outcome.count.map { .number(String($0)) } ?? .null
      }
      if cell["outputs"] == nil { cell["outputs"] = [] }
      if cell["execution_count"] == nil { cell["execution_count"] = .null }
    }
    return cell
  }
}

extension Substring {
  fileprivate var trimmed: String { String(self).trimmed }
}

extension JSON {
  /// Text as nbformat keeps it: a list of lines.
  static func lines(_ text: String) -> JSON { .array(text.linesWithEnds.map(JSON.string)) }
}
