// SPDX-License-Identifier: Apache-2.0

/// Why a file is not a notebook that can be run: a sentence without the file's name.
struct NotebookError: Error, Equatable {
  var message: String
}

/// A notebook of nbformat 4. What Lauter does not know of it stays as it was.
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

  init(parsing bytes: [UInt8]) throws(NotebookError) {
    let value: JSON
    do throws(JSONError) {
      value = try JSON(parsing: bytes, acceptsNaN: true)
    } catch {
      throw NotebookError(
        message: "it is not JSON: line \(error.line), column \(error.column): \(error.message)")
    }
    guard var document = value.object, let major = document["nbformat"]?.integer else {
      throw NotebookError(message: "it is JSON but no notebook: it does not say its nbformat")
    }
    guard major == 4 else { throw .init(message: Notebook.wrongVersion(major)) }
    try Notebook.requirePython(document["metadata"])
    guard let cells = document["cells"]?.array else {
      throw NotebookError(message: "it has no list of cells")
    }
    minor = document["nbformat_minor"]?.integer ?? 0
    document["cells"] = nil
    self.document = document
    self.cells = []
    for (index, cell) in cells.enumerated() {
      self.cells.append(try Cell(cell, number: index + 1))
    }
    if minor >= 5 { addMissingIDs() }
  }

  private static func wrongVersion(_ major: Int) -> String {
    if major > 4 { return "it is of nbformat \(major), newer than the 4 that lauter reads" }
    return "it is of nbformat \(major); convert it first: "
      + "jupyter nbconvert --to notebook --nbformat 4 FILE"
  }

  private static func requirePython(_ metadata: JSON?) throws(NotebookError) {
    let named = [metadata?["kernelspec"]?["language"], metadata?["language_info"]?["name"]]
    for case .string(let language) in named {
      let lower = language.lowercased()
      if !lower.hasPrefix("python"), lower != "ipython" {
        throw NotebookError(
          message: "it is written in \(language.harmless); lauter runs Python notebooks")
      }
    }
  }

  /// nbformat 4.5 wants an id for every cell; older tools leave them out.
  private mutating func addMissingIDs() {
    var taken = Set(cells.compactMap { $0.fields["id"]?.text })
    for index in cells.indices where cells[index].fields["id"] == nil {
      var number = index + 1
      while taken.contains("cell-\(number)") { number += cells.count }
      taken.insert("cell-\(number)")
      cells[index].fields["id"] = .string("cell-\(number)")
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
  fileprivate init(_ value: JSON, number: Int) throws(NotebookError) {
    guard let fields = value.object, let kind = fields["cell_type"]?.text else {
      throw NotebookError(message: "its cell \(number) has no cell_type")
    }
    guard let source = fields["source"]?.multilineText else {
      throw NotebookError(message: "its cell \(number) has no source")
    }
    self.fields = fields
    self.kind = kind == "code" ? .code : .other
    self.source = source
    tags = Set((fields["metadata"]?["tags"]?.array ?? []).compactMap(\.text))
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
    cell["source"] = .lines(source)
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
