// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

private func notebook(
  cells: String, minor: Int = 5, metadata: String = "{}", rest: String = ""
) throws -> Notebook {
  let text =
    #"{"cells": [\#(cells)], "metadata": \#(metadata), "nbformat": 4, "nbformat_minor": \#(minor)\#(rest)}"#
  return try Notebook(parsing: Array(text.utf8))
}

private func message(_ text: String) -> String {
  do {
    _ = try Notebook(parsing: Array(text.utf8))
    return ""
  } catch { return error.message }
}

private func written(_ notebook: Notebook) throws -> JSON {
  try JSON(parsing: notebook.written(), asPython: true)
}

struct NotebookTests {
  @Test func `what is unknown stays as it was`() throws {
    let text = #"""
      {
       "cells": [
        {
         "attachments": {},
         "cell_type": "markdown",
         "id": "a",
         "metadata": {
          "x": 1.0
         },
         "source": [
          "one\n",
          "two"
         ]
        },
        {
         "cell_type": "code",
         "execution_count": 7,
         "id": "b",
         "metadata": {},
         "new": 12345678901234567890,
         "outputs": [],
         "source": []
        }
       ],
       "future": [
        NaN
       ],
       "metadata": {},
       "nbformat": 4,
       "nbformat_minor": 5
      }

      """#
    let notebook = try Notebook(parsing: Array(text.utf8))
    #expect(String(decoding: notebook.written(), as: UTF8.self) == text)
  }

  @Test func `an outcome replaces outputs and count`() throws {
    var notebook = try notebook(
      cells:
        #"{"cell_type": "code", "id": "a", "metadata": {}, "source": "1\n2", "outputs": [1], "execution_count": 9}"#
    )
    notebook.cells[0].outcome = .init(count: 3, outputs: ["x"])
    let cell = try written(notebook)["cells"]?.array?.first
    #expect(cell?["outputs"] == ["x"])
    #expect(cell?["execution_count"] == 3)
    #expect(cell?["source"] == ["1\n", "2"])
    notebook.cells[0].outcome = .init(count: nil, outputs: [])
    #expect(try written(notebook)["cells"]?.array?.first?["execution_count"] == .null)
  }

  @Test func `cells of 4.5 get the ids that they lack, those of 4.4 none`() throws {
    let cells =
      #"{"cell_type": "code", "source": ""}, {"cell_type": "code", "source": "", "id": "cell-1"}"#
    let ids = try written(try notebook(cells: cells))["cells"]?.array?.map { $0["id"] }
    #expect(ids == ["cell-3", "cell-1"])
    let older = try written(try notebook(cells: #"{"cell_type": "code", "source": ""}"#, minor: 4))
    #expect(older["cells"]?.array?.first?["id"] == nil)
    #expect(older["cells"]?.array?.first?["metadata"] == [:])
  }

  @Test func `what is no notebook of nbformat 4 in Python is refused in words`() {
    #expect(message("hello").hasPrefix("it is not JSON: line 1, column 1"))
    #expect(message("[]").contains("no notebook"))
    #expect(message("{}").contains("no notebook"))
    #expect(
      message(#"{"nbformat": 3, "worksheets": []}"#).contains(
        "jupyter nbconvert --to notebook --nbformat 4"))
    #expect(message(#"{"nbformat": 5}"#).contains("newer"))
    #expect(message(#"{"nbformat": 4}"#).contains("no list of cells"))
    #expect(message(#"{"nbformat": 4, "cells": [{}]}"#).contains("cell 1 has no cell_type"))
    #expect(
      message(#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}"#).contains(
        "cell 1 has no source"))
  }

  @Test func `what lies under a notebook's name by mistake is recognised`() {
    #expect(message(" \n") == "it is empty")
    #expect(message("\u{feff}<!DOCTYPE html>").contains("web page"))
    #expect(message("version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"))
    #expect(message("{\"cells\": [],\n<<<<<<< HEAD\n").contains("line 2, column 1"))
    #expect(message("{\"cells\": [],\n<<<<<<< HEAD\n").contains("a merge left its conflicts"))
    #expect(message("{\"a\": [1,\n=======\n").contains("a merge left its conflicts"))
    #expect(!message("{\"a\": <1}").contains("web page"))
    #expect(throws: NotebookError(message: "it is UTF-16; a notebook is UTF-8")) {
      try Notebook(parsing: [0xFF, 0xFE, 0x7B, 0x00])
    }
  }

  @Test(arguments: [
    (#"{"kernelspec": {"language": "julia", "name": "julia-1.9"}}"#, "in julia (kernel julia-1.9)"),
    (#"{"language_info": {"name": "R"}}"#, "in R, and"),
    (#"{"kernelspec": {"name": "ir", "display_name": "R"}}"#, "in R (kernel ir)"),
    (#"{"kernelspec": {"name": ".net-csharp"}}"#, "in .NET"),
    // The kernel decides, not the one that ran it last.
    (#"{"kernelspec": {"language": "R"}, "language_info": {"name": "python"}}"#, "in R"),
  ])
  func `another language is refused, with the kernel's name and what to do`(
    metadata: String, words: String
  ) throws {
    let text = #"{"nbformat": 4, "cells": [], "metadata": \#(metadata)}"#
    #expect(message(text).contains(words))
    #expect(message(text).contains("--force"))
    _ = try Notebook(parsing: Array(text.utf8), isForced: true)
  }

  @Test(arguments: [
    "null", "{}", #"{"kernelspec": null}"#, #"{"kernelspec": {"name": "irene"}}"#,
    #"{"kernelspec": {"name": "conda-env-x-py", "language": "Python"}}"#,
    #"{"kernelspec": {"name": "python3"}, "language_info": {"name": "julia"}}"#,
    #"{"language_info": {"name": "ipython"}}"#,
  ])
  func `without a word, or with one for Python, it is Python`(metadata: String) throws {
    #expect(try notebook(cells: "", metadata: metadata).warnings == [])
  }

  @Test func `what is odd and does no harm is told`() throws {
    #expect(try notebook(cells: "", minor: 6).warnings.first?.contains("4.6") == true)
    let python2 = #"{"kernelspec": {"name": "python2", "language": "python"}}"#
    #expect(try notebook(cells: "", metadata: python2).warnings.first?.contains("Python 2") == true)
    let odd = try notebook(
      cells: #"{"cell_type": "heading", "level": 1, "source": 7}, {"cell_type": "raw"}"#, minor: 4)
    #expect(odd.warnings == ["cell 1 is of the unknown type heading and stays as it is"])
    let cells = try written(odd)["cells"]
    #expect(cells?.array?.first?["source"] == 7)
    #expect(cells?.array?.last?["source"] == nil)
  }

  @Test func `an id that was taken already is replaced, and this is told`() throws {
    let cell = #"{"cell_type": "raw", "source": "", "id": "a"}"#
    let twins = try notebook(cells: "\(cell), \(cell), \(cell)")
    let ids = try written(twins)["cells"]?.array?.map { $0["id"]?.text }
    #expect(ids == ["a", "cell-2", "cell-3"])
    #expect(twins.warnings == ["2 cells had the id of an earlier cell and got a new one"])
    #expect(try notebook(cells: "\(cell), \(cell)", minor: 4).warnings == [])
  }

  @Test func `source with half a surrogate pair stays as it is spelt, and this is told`() throws {
    let torn = try notebook(
      cells: #"{"cell_type": "code", "source": ["a = 1\n", "'\ud83d'"], "id": "a"}"#)
    #expect(torn.cells[0].source == "a = 1\n'\u{fffd}'")
    #expect(torn.warnings.count == 1)
    #expect(String(decoding: torn.written(), as: UTF8.self).contains(#""'\ud83d'""#))
  }

  @Test func `a cell's title is its first comment, else its first line`() throws {
    let titles = try notebook(
      cells: [
        #"{"cell_type": "code", "source": "\n# numpy: solve\nimport numpy"}"#,
        #"{"cell_type": "code", "source": ["\n", "  x = 1\n", "y = 2"]}"#,
        #"{"cell_type": "code", "source": "import os  \n#\n## later\u001b"}"#,
      ].joined(separator: ",")
    ).cells.map(\.title)
    #expect(titles == ["numpy: solve", "x = 1", "later·"])
  }

  @Test func `only code that is there and not tagged is executed`() throws {
    let cells = try notebook(
      cells: [
        #"{"cell_type": "code", "source": "1"}"#, #"{"cell_type": "code", "source": " \n"}"#,
        #"{"cell_type": "markdown", "source": "1"}"#, #"{"cell_type": "raw", "source": "1"}"#,
        #"{"cell_type": "code", "source": "1", "metadata": {"tags": ["skip-execution"]}}"#,
      ].joined(separator: ",")
    ).cells
    #expect(cells.map(\.isExecutable) == [true, false, false, false, false])
    #expect(cells[4].tags == ["skip-execution"])
  }
}
