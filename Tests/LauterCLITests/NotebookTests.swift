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
  try JSON(parsing: notebook.written(), acceptsNaN: true)
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
    let julia = #"{"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "julia"}}}"#
    #expect(message(julia).contains("julia"))
    let r = #"{"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": "R"}}}"#
    #expect(message(r).contains("written in R"))
    let python = #"{"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": "python"}}}"#
    #expect(message(python) == "")
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
