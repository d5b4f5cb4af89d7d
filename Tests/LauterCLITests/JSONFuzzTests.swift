// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import LauterCLI

/// Numbers that look random and are the same in each run.
private struct Dice {
  var state: UInt64

  mutating func roll(_ sides: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((mixed ^ (mixed >> 31)) % UInt64(sides))
  }
}

/// The notebooks of `Tests/CLI/notebooks` and what is refused there, but for the long ones.
private let corpus: [[UInt8]] = {
  let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../CLI/notebooks").standardized
  let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
  let found = (files?.allObjects ?? []).compactMap { $0 as? URL }
    .filter { $0.pathExtension == "ipynb" }.sorted { $0.path < $1.path }
  // Not by Data, which leaks a page where a file is empty: the leak sanitizer would tell.
  return found.compactMap { try? readFile($0.path, called: $0.path) }.filter { $0.count < 4000 }
}()

private let pieces: [[UInt8]] =
  [
    "\"", "\\", "\\u", "\\ud83d", "\\ude00", "{", "}", "[", "]", ",", ":", "-", "0", "9", ".", "e",
    "NaN", "-Infinity", "null", "true", "\n", "[[[[[[[[", "{\"a\":", "\"cells\":",
    "\"nbformat\": 4",
  ].map { Array($0.utf8) } + [[0], [0x1F], [0x80], [0xC3], [0xED, 0xA0, 0x80], [0xF5], [0xFF]]

private func damaged(_ bytes: [UInt8], _ dice: inout Dice) -> [UInt8] {
  var bytes = bytes
  for _ in 0...dice.roll(4) {
    let at = dice.roll(bytes.count + 1)
    let end = min(bytes.count, at + dice.roll(9))
    switch dice.roll(5) {
    case 0: bytes.removeSubrange(at..<end)
    case 1: bytes.replaceSubrange(at..<end, with: pieces[dice.roll(pieces.count)])
    case 2: bytes.insert(contentsOf: pieces[dice.roll(pieces.count)], at: at)
    case 3: bytes.insert(contentsOf: bytes[at..<end], at: dice.roll(bytes.count + 1))
    default: bytes.removeSubrange(at...)
    }
    if bytes.isEmpty { bytes = [0x5B] }
  }
  return bytes
}

struct JSONFuzzTests {
  @Test(arguments: 0..<4) func `damaged notebooks are read or refused, and what is read lasts`(
    part: Int
  ) throws {
    #expect(corpus.count > 40)
    var dice = Dice(state: UInt64(part))
    var (read, refused, notebooks) = (0, 0, 0)
    for round in 0..<5_000 {
      let bytes = damaged(corpus[round % corpus.count], &dice)
      for asPython in [true, false] {
        guard let value = try? JSON(parsing: bytes, asPython: asPython) else {
          refused += 1
          continue
        }
        read += 1
        let written = value.written()
        let again = try? JSON(parsing: written, asPython: asPython)
        if again != value || again?.written() != written {
          Issue.record("not what was written: \(String(decoding: bytes, as: UTF8.self))")
        }
      }
      // What makes a notebook of it does not trap either, nor does what it writes become something else.
      guard let notebook = try? Notebook(parsing: bytes, isForced: true) else { continue }
      notebooks += 1
      let again = try? Notebook(parsing: notebook.written(), isForced: true)
      #expect(again?.cells.map(\.source) == notebook.cells.map(\.source))
      #expect(again?.written() == notebook.written())
    }
    // The damage was neither too great nor too small to tell anything.
    #expect(read > 500 && refused > 500 && notebooks > 100)
  }
}
