// SPDX-License-Identifier: Apache-2.0

import CLinux
import Foundation
import LauterWire
import Testing

private let half = 1 << 20

/// An arena filled as Tests/Vectors/frames.txt says.
private func filledArena() throws -> ArenaMap {
  let descriptor = Int32(lx_memfd_create("vectors"))
  try #require(descriptor >= 0 && ftruncate(descriptor, off_t(2 * half)) == 0)
  defer { close(descriptor) }
  for isFirst in [true, false] {
    let map = try #require(ArenaMap.map(descriptor, half: UInt64(half), writesFirst: isFirst))
    let mine = UnsafeMutableRawBufferPointer(
      start: map.memory + (isFirst ? 0 : half), count: half)
    for index in 0..<256 { mine[index] = UInt8(truncatingIfNeeded: 31 * index) }
    var filled = 256
    while filled < half {
      (mine.baseAddress! + filled).copyMemory(from: mine.baseAddress!, byteCount: filled)
      filled *= 2
    }
  }
  return try #require(ArenaMap.map(descriptor, half: UInt64(half), writesFirst: true))
}

private struct Vector {
  let name: String
  let sender: Inbox.Sender
  let bytes: [UInt8]
  let outcome: String
}

private func bytes(_ hex: Substring) throws -> [UInt8] {
  let digits = Array(hex)
  return try stride(from: 0, to: digits.count, by: 2).map {
    try #require(UInt8(String(digits[$0..<($0 + 2)]), radix: 16))
  }
}

private func vectors() throws -> [Vector] {
  let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
    path: "../Vectors/frames.txt")
  let text = try String(contentsOf: file, encoding: .utf8)
  let greeting = hello(abilities: 8, arena: 1)
  return try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
    let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
    try #require(fields.count == 4, "\(line)")
    var all: [UInt8] = []
    for word in fields[2].split(separator: " ") {
      if word == "hello" {
        all += greeting
        continue
      }
      let times = word.split(separator: "*")
      let unit = try bytes(times[0])
      for _ in 0..<(times.count > 1 ? try #require(Int(times[1])) : 1) { all += unit }
    }
    return Vector(
      name: String(fields[0]), sender: fields[1] == "host" ? .host : .worker, bytes: all,
      outcome: String(fields[3]))
  }
}

private func text(_ message: Message) -> String {
  var text = "\(message.kind) \(message.id) \"\(message.nameText)\""
  if message.lane != 0 { text += " lane \(message.lane)" }
  if message.parent != 0 { text += " parent \(message.parent)" }
  for part in message.parts {
    let data = UnsafeRawBufferPointer(start: part.data, count: part.size)
    text += " \(String(cString: part.type!)):"
    text += data.map { String(format: "%02x", $0) }.joined()
  }
  return text
}

private func text(_ places: [Place]) -> String {
  places.map { " \($0.offset)+\($0.size)" }.joined()
}

private func text(_ arrival: Arrival) -> String {
  switch arrival {
  case .hello(let greeting): "hello \"\(greeting.name)\" \(greeting.lowest)-\(greeting.highest)"
  case .ready: "ready"
  case .stop: "stop"
  case .interrupt(let call): "interrupt \(call)"
  case .release(let places): "release" + text(places)
  case .credit(let channel, let size): "credit \(channel) \(size)"
  case .need(let channel, let size): "need \(channel) \(size)"
  case .end(let channel): "end \(channel)"
  case .message(let message): text(message)
  }
}

/// What comes of a vector, fed in pieces of `step` bytes.
private func outcome(_ vector: Vector, _ arena: ArenaMap, step: Int) -> String {
  var inbox = Inbox(from: vector.sender)
  inbox.arena = ArenaReader(arena, start: vector.sender == .host ? 0 : UInt64(half))
  var arrived: [String] = []
  do throws(WireError) {
    var at = 0
    while at < vector.bytes.count {
      let piece = vector.bytes[at..<min(at + step, vector.bytes.count)]
      at += step
      let deliver = { (arrival: Arrival) throws(WireError) -> Bool in
        arrived.append(text(arrival))
        return true
      }
      let admit = { (_: FrameHeader, _: Int) throws(WireError) -> Admission in .keep }
      try piece.withUnsafeBufferPointer { (bytes) throws(WireError) in
        try inbox.feed(UnsafeRawBufferPointer(bytes), admit: admit, deliver: deliver)
      }
      while inbox.isPaused { try inbox.resume(admit: admit, deliver: deliver) }
    }
  } catch {
    return "! \(error.description)"
  }
  let copied = inbox.takeCopiedPlaces()
  if !copied.isEmpty { arrived.append("copied" + text(copied)) }
  if !inbox.isAtBoundary { arrived.append("...") }
  return "= " + arrived.joined(separator: "; ")
}

@Suite struct FrameVectorTests {
  @Test func `each vector is taken or refused as it says, however it is cut`() throws {
    let vectors = try vectors()
    #expect(vectors.count { $0.outcome.hasPrefix("=") } > 50)
    #expect(vectors.count { $0.outcome.hasPrefix("!") } > 100)
    let arena = try filledArena()
    for vector in vectors {
      for step in [vector.bytes.count, 1, 7, 15, 16, 17] {
        #expect(
          outcome(vector, arena, step: step) == vector.outcome,
          "\(vector.name) (\(vector.sender)), \(step) bytes at once")
      }
    }
  }
}
