// SPDX-License-Identifier: Apache-2.0

import Foundation
import LauterWire
import Testing

/// What the validator says of parts: nil if they are whole.
private func check(_ parts: [[UInt8]]) -> ValueError? {
  // Exactly as large as they are, so that a sanitizer sees a byte read beyond.
  let blocks = parts.map { bytes in
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    block.copyBytes(from: bytes)
    return block
  }
  defer { for block in blocks { block.deallocate() } }
  let table = blocks.map {
    MessagePart(type: nil, data: UnsafeRawPointer($0.baseAddress), size: $0.count)
  }
  return table.withUnsafeBufferPointer { (table) -> ValueError? in
    do throws(ValueError) {
      try Value.check(table, seed: (0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344))
      return nil
    } catch {
      return error
    }
  }
}

private struct Vector {
  let name: String
  let parts: [[UInt8]]
  let broken: ValueError?
}

private func vectors() throws -> [Vector] {
  let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
    path: "../Vectors/values.txt")
  let text = try String(contentsOf: file, encoding: .utf8)
  return try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
    let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
    try #require(fields.count == 3, "\(line)")
    let parts = try fields[1].split(separator: "/", omittingEmptySubsequences: false).map { hex in
      let digits = Array(hex)
      return try stride(from: 0, to: digits.count, by: 2).map {
        try #require(UInt8(String(digits[$0..<($0 + 2)]), radix: 16))
      }
    }
    var broken: ValueError?
    if fields[2].hasPrefix("! ") {
      let words = fields[2].split(separator: " ", maxSplits: 2)
      broken = ValueError(offset: try #require(Int(words[1])), reason: String(words[2]))
    } else {
      try #require(fields[2].hasPrefix("= "))
    }
    return Vector(name: String(fields[0]), parts: parts, broken: broken)
  }
}

@Suite struct ValueTests {
  @Test func `each vector is let through or refused where and as it says`() throws {
    let vectors = try vectors()
    #expect(vectors.count { $0.broken == nil } > 40)
    #expect(vectors.count { $0.broken != nil } > 60)
    for vector in vectors { #expect(check(vector.parts) == vector.broken, "\(vector.name)") }
  }

  @Test func `no beginning of a value is a value`() throws {
    for vector in try vectors() where vector.broken == nil {
      for size in 0..<vector.parts[0].count {
        #expect(
          check([Array(vector.parts[0].prefix(size))] + vector.parts.dropFirst()) != nil,
          "\(vector.name), \(size) bytes")
      }
    }
  }

  @Test func `more items than the bound are refused, the bound itself is not`() {
    let most = 1 << 24
    func list(_ count: Int) -> [UInt8] {
      [0xDD] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) }
        + [UInt8](repeating: 0, count: count)
    }
    #expect(check([list(most - 1)]) == nil)
    #expect(
      check([list(most)])
        == ValueError(offset: most + 4, reason: "more than 16777216 items"))
  }

  @Test func `of many keys the one that comes again is found, in whatever form`() {
    let count: UInt32 = 1 << 16
    func keys(_ more: [UInt8]) -> [UInt8] {
      var value: [UInt8] = [0xDF]
      func append(_ number: UInt32) {
        for shift in [24, 16, 8, 0] as [UInt32] {
          value.append(UInt8(truncatingIfNeeded: number >> shift))
        }
      }
      append(count + (more.isEmpty ? 0 : 1))
      // Multiples of 2^16, whose hashes would fall together in a table that took them as they are.
      for key in 0..<count {
        value.append(0xCE)
        append(key << 16)
        value.append(0xC0)
      }
      return value + (more.isEmpty ? [] : more + [0xC0])
    }
    #expect(check([keys([])]) == nil)
    #expect(check([keys([0x01])]) == nil)
    let again = ValueError(
      offset: 5 + 6 * Int(count), reason: "a key or element that came before")
    #expect(check([keys([0xD2, 0x00, 0x01, 0x00, 0x00])]) == again)
    #expect(check([keys([0x00])]) == again)
  }
}
