// SPDX-License-Identifier: Apache-2.0

/// What a notebook says about the language it is written in. All of it may be missing: then it is taken for Python.
struct NotebookKernel {
  /// The kernel's name for programs: "python3", "ir".
  private let name: String?
  private let displayName: String?
  private let language: String?

  /// - Parameter metadata: the notebook's.
  init(_ metadata: JSON?) {
    let kernel = metadata?["kernelspec"]
    name = kernel?["name"]?.text
    displayName = kernel?["display_name"]?.text
    // The kernel decides, as for Jupyter; language_info only tells what the last one to run it was.
    language =
      kernel?["language"]?.text ?? name.flatMap(NotebookKernel.language)
      ?? metadata?["language_info"]?["name"]?.text
  }

  /// The language of kernels that are known by their names: older tools write nothing more.
  private static func language(of name: String) -> String? {
    let lower = name.lowercased()
    if lower.hasPrefix("python") { return "python" }
    return languages.first { lower == $0.key || lower.hasPrefix($0.key + "-") }?.value
  }

  private static let languages = [
    "ir": "R", "xr": "R", "julia": "Julia", "bash": "Bash", "deno": "TypeScript",
    "tslab": "TypeScript", "jslab": "JavaScript", "javascript": "JavaScript", "octave": "Octave",
    "matlab": "MATLAB", "scala": "Scala", "almond": "Scala", "gophernotes": "Go", "rust": "Rust",
    "kotlin": "Kotlin", "java": "Java", "ijava": "Java", "ruby": "Ruby", "haskell": "Haskell",
    "xcpp11": "C++", "xcpp14": "C++", "xcpp17": "C++", "xcpp20": "C++", "c": "C", "sos": "SoS",
    ".net": ".NET", "sas": "SAS", "stata": "Stata", "wolframlanguage": "Wolfram Language",
  ]

  /// Why it cannot be run, nil if it can.
  var whyNotPython: String? {
    guard let language else { return nil }
    let lower = language.lowercased()
    if lower.hasPrefix("python") || lower == "ipython" { return nil }
    let kernel = (name ?? displayName).map { " (kernel \($0.harmless.cut(to: 60)))" } ?? ""
    return
      "it is written in \(language.harmless.cut(to: 60))\(kernel), and lauter runs Python: run it "
      + "with jupyter nbconvert --execute, or, if its cells are Python nevertheless, say --force"
  }

  /// What may go wrong although it is Python.
  var warning: String? {
    guard name == "python2" || displayName == "Python 2" else { return nil }
    return "it was written for Python 2 and runs in Python 3"
  }
}
