// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import LauterCLI

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

private func bundle(_ text: String, id: String? = nil) -> MediaBundle {
  var parts = [Part("text/plain", text: text)]
  if let id { parts.append(Part(Part.metadataType, text: #"{"display_id": "\#(id)"}"#)) }
  return MediaBundle(parts)
}

private func stream(_ name: String, _ lines: JSON...) -> JSON {
  ["output_type": "stream", "name": .string(name), "text": .array(lines)]
}

private func display(_ text: String) -> JSON {
  ["output_type": "display_data", "data": ["text/plain": [.string(text)]], "metadata": [:]]
}

struct CellOutputsTests {
  var outputs = CellOutputs(bounds: OutputBounds())

  @Test mutating func `consecutive writes to a stream are one output, others are not`() {
    for (text, name) in [
      ("a\nb", CellOutputs.Stream.stdout), ("c\n", .stdout), ("e", .stderr), ("d", .stdout),
    ] {
      outputs.write(bytes(text), to: name)
    }
    #expect(
      outputs.written() == [
        stream("stdout", "a\n", "bc\n"), stream("stderr", "e"), stream("stdout", "d"),
      ])
  }

  @Test mutating func `a character that arrives in two pieces stays whole`() {
    let euro = bytes("€")
    outputs.write([euro[0]], to: .stdout)
    outputs.write(Array(euro[1...]), to: .stdout)
    #expect(outputs.written() == [stream("stdout", "€")])
  }

  @Test func `the cut leaves no torn character and one sentence`() {
    var outputs = CellOutputs(bounds: OutputBounds(streams: 5, displays: 0))
    outputs.write(bytes("12€€"), to: .stdout)
    outputs.write(bytes("€"), to: .stdout)
    #expect(outputs.lostBytes == 6)
    #expect(
      outputs.written() == [
        stream("stdout", "12€\n", "[lauter: 6 bytes more were not kept; --max-output]\n")
      ])
    var torn = CellOutputs(bounds: OutputBounds(streams: 4, displays: 0))
    torn.write(bytes("12€€"), to: .stdout)
    #expect(
      torn.written() == [
        stream("stdout", "12\n", "[lauter: 4 bytes more were not kept; --max-output]\n")
      ])
  }

  @Test mutating func `bytes that never arrived are counted as well`() {
    outputs.write(bytes("x"), to: .stdout)
    outputs.lose(99_000_000, of: .stdout)
    outputs.write(bytes("e"), to: .stderr)
    #expect(
      outputs.written() == [
        stream("stdout", "x\n", "[lauter: 99.0 MB more were not kept; --max-output]\n"),
        stream("stderr", "e"),
      ])
  }

  @Test mutating func `an update changes what was shown under its id, and nothing else`() {
    outputs.display(bundle("old", id: "a"))
    outputs.display(bundle("other", id: "b"))
    outputs.result(bundle("old too", id: "a"), count: 4)
    outputs.update(bundle("new", id: "a"))
    outputs.update(bundle("nowhere", id: "c"))
    #expect(
      outputs.written() == [
        display("new"), display("other"),
        [
          "output_type": "execute_result", "execution_count": 4, "data": ["text/plain": ["new"]],
          "metadata": [:],
        ],
      ])
  }

  @Test mutating func `clear drops at once, or waits for the next output`() {
    outputs.display(bundle("a", id: "i"))
    outputs.clear(wait: true)
    #expect(outputs.written() == [display("a")])
    outputs.display(bundle("b"))
    #expect(outputs.written() == [display("b")])
    outputs.update(bundle("c", id: "i"))
    #expect(outputs.written() == [display("b")])
    outputs.clear(wait: false)
    #expect(outputs.written() == [])
  }

  @Test mutating func `an empty result is no output`() {
    outputs.result(MediaBundle([]), count: 1)
    #expect(outputs.written() == [])
    outputs.result(bundle("1"), count: 1)
    #expect(outputs.written().count == 1)
  }

  @Test mutating func `media types are kept as nbformat keeps them`() {
    outputs.display(
      MediaBundle([
        Part("image/png", [0x89, 0x50]), Part("application/json", text: #"{"a": [1.0]}"#),
        Part("application/vnd.x.v1+json", text: "{}"), Part("image/svg+xml", text: "<svg>\n</svg>"),
        Part("application/geo+json", text: "no JSON"), Part("text/html", text: "<b>\n"),
        Part(Part.metadataType, text: #"{"metadata": {"image/png": {"width": 3}}}"#),
      ]))
    #expect(
      outputs.written() == [
        [
          "output_type": "display_data",
          "data": [
            "image/png": "iVA=", "application/json": ["a": [.number("1.0")]],
            "application/vnd.x.v1+json": [:],
            "image/svg+xml": ["<svg>\n", "</svg>"], "application/geo+json": ["no JSON"],
            "text/html": ["<b>\n"],
          ],
          "metadata": ["image/png": ["width": 3]],
        ]
      ])
  }

  @Test func `displays over the bound are left out with a sentence`() {
    var outputs = CellOutputs(bounds: OutputBounds(streams: 100, displays: 1000))
    outputs.display(bundle("small", id: "a"))
    outputs.display(bundle(String(repeating: "x", count: 1000)))
    outputs.update(bundle(String(repeating: "x", count: 1000), id: "a"))
    #expect(outputs.lostDisplays == 2)
    #expect(
      outputs.written() == [
        display("small"),
        stream("stderr", "\n", "[lauter: 2 displays not kept; --max-display]\n"),
      ])
  }
}

struct PartTests {
  @Test func `long words are cut with a sentence`() {
    let part = Part("text/plain", text: "0123456789")
    #expect(part.text(atMost: 10) == "0123456789")
    #expect(part.text(atMost: 4) == "0123\n[lauter: 6 bytes more were not kept]")
  }
}
