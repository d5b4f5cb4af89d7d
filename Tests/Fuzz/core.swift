// SPDX-License-Identifier: Apache-2.0

// What reads a stranger's bytes, for libFuzzer. Compiled as one module with the sources under test (Tests/Fuzz/run).

import CLinux
import Glibc

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
  let input = UnsafeRawBufferPointer(start: data, count: size)
  switch target {
  case "wire": wire(input)
  case "value": value(input)
  case "policy": policy(input)
  case "canary": canary(input)
  default: fatalError("LAUTER_FUZZ_TARGET is wire, value, policy or canary")
  }
  return 0
}

private let target = getenv("LAUTER_FUZZ_TARGET").map { String(cString: $0) } ?? ""

/// Wrong on purpose: what the others are looked at with finds a byte read beyond.
private func canary(_ input: UnsafeRawBufferPointer) {
  guard input.count >= 4, input.loadUnaligned(as: UInt32.self) == Wire.magic else { return }
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count, alignment: 1)
  copy.copyMemory(from: input)
  if copy.baseAddress!.load(fromByteOffset: input.count, as: UInt8.self) == 1 { abort() }
  copy.deallocate()
}

// MARK: - frames

/// What came of a session, in few bytes.
private struct Digest: Equatable {
  var arrivals = 0
  var hash: UInt64 = 14_695_981_039_346_656_037
  var error: WireError?

  mutating func add(_ number: some FixedWidthInteger) {
    hash = (hash ^ UInt64(truncatingIfNeeded: number)) &* 1_099_511_628_211
  }
  mutating func add(_ bytes: UnsafeRawBufferPointer) {
    add(bytes.count)
    for byte in bytes { add(byte) }
  }
}

private let half = 1 << 17

/// An arena whose bytes say where they stand.
private let arena: ArenaMap = {
  let descriptor = Int32(lx_memfd_create("fuzz"))
  guard descriptor >= 0, ftruncate(descriptor, 2 * half) == 0 else { fatalError("no memfd") }
  // The side that writes the first half fills it, and so does the other.
  for first in [true, false] {
    let map = ArenaMap.map(descriptor, half: UInt64(half), writesFirst: first)!
    for index in 0..<half {
      map.memory.storeBytes(
        of: UInt8(truncatingIfNeeded: index &* 31), toByteOffset: index + (first ? 0 : half),
        as: UInt8.self)
    }
  }
  return ArenaMap.map(descriptor, half: UInt64(half), writesFirst: true)!
}()
private let returns = PlaceReturns.make(-1)!

/// The first byte says how: 1: a host's words; 2: after a greeting; 4: with an arena; 8: read in place; 16: parts are
/// dropped; 32: parts are put into lent memory; 64: it is paused after each arrival. The second one: how large the pieces are.
private func wire(_ input: UnsafeRawBufferPointer) {
  guard input.count >= 2 else { return }
  let how = input[0]
  let bytes = UnsafeRawBufferPointer(rebasing: input[2...])
  let whole = session(bytes, how, step: max(bytes.count, 1))
  let pieces = session(bytes, how, step: Int(input[1]) + 1)
  guard whole == pieces else { fatalError("in pieces \(pieces), at once \(whole)") }
}

private func session(_ bytes: UnsafeRawBufferPointer, _ how: UInt8, step: Int) -> Digest {
  var digest = Digest()
  var inbox = Inbox(from: how & 1 != 0 ? .host : .worker)
  let reader = ArenaReader(
    arena, start: how & 1 != 0 ? 0 : UInt64(half), returns: how & 8 != 0 ? returns : nil, owner: 7)
  if how & 4 != 0 { inbox.arena = reader }
  let lent = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
  defer { lent.deallocate() }
  var released = 0
  let admit = { (header: FrameHeader, size: Int) throws(WireError) -> Admission in
    // What a host may have under way is bounded; here by what is quick.
    guard size <= 1 << 22 else { throw .outOfMemory(UInt64(size)) }
    return how & 16 != 0 ? .drop : how & 32 != 0 && header.id & 1 == 0 ? .into(lent) : .keep
  }
  let deliver = { (arrival: Arrival) throws(WireError) -> Bool in
    digest.arrivals += 1
    switch arrival {
    case .hello(let greeting):
      digest.add(greeting.abilities.rawValue)
      digest.add(greeting.messageMax)
      guard greeting.lowest <= 1, greeting.highest >= 1, greeting.name.utf8.count <= 3 * 255 else {
        fatalError("a greeting that is none")
      }
    case .ready: digest.add(1)
    case .stop: digest.add(2)
    case .interrupt(let call): digest.add(call)
    case .release(let places):
      guard places.count > 0, places.count <= Wire.placesMax else { fatalError("places") }
      for place in places { digest.add(place.offset ^ place.size) }
    case .credit(let channel, let number), .need(let channel, let number):
      digest.add(channel)
      digest.add(number)
    case .end(let channel): digest.add(channel)
    case .message(let message):
      guard message.isComplete, message.nameSize == strlen(message.name) else {
        fatalError("a message that is none")
      }
      digest.add(message.id)
      digest.add(message.kind.rawValue)
      digest.add(UnsafeRawBufferPointer(start: message.name, count: message.nameSize))
      var total = 0
      for part in message.parts {
        total += part.size
        digest.add(UnsafeRawBufferPointer(start: part.type, count: strlen(part.type!)))
        // Lent memory is anybody's who has the same id.
        if let data = part.data, how & 32 == 0 {
          digest.add(UnsafeRawBufferPointer(start: data, count: part.size))
        }
      }
      guard total == message.bodySize else { fatalError("parts that do not add up") }
    }
    return how & 64 == 0
  }
  func feed(_ piece: UnsafeRawBufferPointer) throws(WireError) {
    try inbox.feed(piece, admit: admit, deliver: deliver)
    while inbox.isPaused { try inbox.resume(admit: admit, deliver: deliver) }
    // Each place is released once, and lies in the half.
    for place in inbox.takeCopiedPlaces() {
      try reader.check(place)
      released += 1
    }
  }
  do throws(WireError) {
    if how & 2 != 0 {
      try Greeting().frame().withUnsafeBufferPointer { (frame) throws(WireError) in
        try feed(UnsafeRawBufferPointer(frame))
      }
    }
    var at = 0
    while at < bytes.count {
      let end = min(at + step, bytes.count)
      // A copy: what is kept must not refer to it.
      let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: end - at, alignment: 1)
      defer { piece.deallocate() }
      piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[at..<end]))
      try feed(UnsafeRawBufferPointer(piece))
      at = end
    }
  } catch {
    digest.error = error
    guard !error.description.isEmpty else { fatalError("no words") }
  }
  // Half of what is under way may be let go of at any time.
  inbox.letGo(.data, 2)
  _ = returns.take()
  return digest
}

// MARK: - values

/// Parts follow each other with their sizes before them: two bytes, little-endian.
private func value(_ input: UnsafeRawBufferPointer) {
  var blocks: [UnsafeMutableRawBufferPointer] = []
  defer { for block in blocks { block.deallocate() } }
  var at = 0
  repeat {
    var size = input.count - at
    if blocks.count < Wire.partsMax - 1, size >= 2 {
      let told = Int(input[at]) | Int(input[at + 1]) << 8
      at += 2
      size = min(told, input.count - at)
    }
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 1)
    block.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[at..<(at + size)]))
    blocks.append(block)
    at += size
  } while at < input.count
  let parts = blocks.map {
    MessagePart(type: nil, data: UnsafeRawPointer($0.baseAddress), size: $0.count)
  }
  let once = said(parts, (0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344))
  // Whatever the seed, and of what is whole nothing may be missing.
  guard once == said(parts, (0x9E37_79B9_7F4A_7C15, 0xA409_3822_299F_31D0)) else {
    fatalError("the seed shows")
  }
  if let once {
    guard once.offset >= 0, once.offset <= parts[0].size else { fatalError("offset") }
  } else {
    var cut = parts
    cut[0].size -= 1
    guard said(cut, (0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344)) != nil else {
      fatalError("a whole value without its last byte")
    }
  }
}

private func said(_ parts: [MessagePart], _ seed: (UInt64, UInt64)) -> ValueError? {
  parts.withUnsafeBufferPointer { (parts) -> ValueError? in
    do throws(ValueError) {
      try Value.check(parts, seed: seed)
      return nil
    } catch {
      return error
    }
  }
}

// MARK: - policies

/// The first byte chooses the preset.
private func policy(_ input: UnsafeRawBufferPointer) {
  guard let first = input.first else { return }
  let text = String(decoding: input[1...], as: UTF8.self)
  do throws(PolicyError) {
    var policy = try Policy(preset: ["notebook", "strict", "unconfined"][Int(first) % 3])
    try policy.parse(text, environment: { $0 == "HOME" ? "/home/x" : nil })
    // What it prints is the same policy, and prints alike.
    var again = try Policy(preset: ["notebook", "strict", "unconfined"][Int(first) % 3])
    do throws(PolicyError) { try again.parse(policy.text, environment: { _ in nil }) } catch {
      fatalError("it does not read what it prints: \(error.message)\n\(policy.text)")
    }
    guard again == policy, again.text == policy.text else {
      fatalError("another policy:\n\(policy.text)\n\(again.text)")
    }
  } catch {
    guard !error.message.isEmpty else { fatalError("no words") }
  }
}
