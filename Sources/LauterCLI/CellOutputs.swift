// SPDX-License-Identifier: Apache-2.0

/// How much of one cell's output is kept: what comes from a worker is bounded before it is believed.
struct OutputBounds: Equatable, Sendable {
  /// Bytes written to the standard streams.
  var streams: Int = 1_000_000
  /// Bytes of displays and results.
  var displays: Int = 32_000_000
}

/// The outputs of one cell as they arrive, kept as nbformat wants them.
struct CellOutputs {
  enum Stream: String { case stdout, stderr }

  fileprivate enum Entry {
    case stream(Stream, [UInt8])
    case display(MediaBundle)
    case result(MediaBundle, count: Int)
    case error(JSON)
  }

  let bounds: OutputBounds
  private var entries: [Entry] = []
  /// Which entries show which display id.
  private var displays: [String: [Int]] = [:]
  private var clearsBeforeNext = false
  private var streamBytes = 0
  private var displayBytes = 0
  private var lost: [Stream: UInt64] = [:]
  private(set) var lostDisplays = 0

  init(bounds: OutputBounds) { self.bounds = bounds }

  /// Bytes of the streams that are not kept.
  var lostBytes: UInt64 { lost.values.reduce(0, +) }

  /// Add what was written to a stream; consecutive writes to the same stream become one output.
  mutating func write(_ bytes: [UInt8], to stream: Stream) {
    if bytes.isEmpty { return }
    clearIfDue()
    let kept = bytes.prefix(max(0, bounds.streams - streamBytes))
    lose(UInt64(bytes.count - kept.count), of: stream)
    if kept.isEmpty { return }
    streamBytes += kept.count
    if case .stream(stream, var before)? = entries.last {
      entries[entries.count - 1] = .stream(stream, [])  // Or the append would copy what is there.
      before += kept
      entries[entries.count - 1] = .stream(stream, before)
    } else {
      // Turns between the streams cost more than their bytes.
      streamBytes += 64
      entries.append(.stream(stream, Array(kept)))
    }
  }

  /// Count bytes that did not arrive.
  mutating func lose(_ bytes: UInt64, of stream: Stream) {
    if bytes > 0 { lost[stream, default: 0] += bytes }
  }

  mutating func display(_ bundle: MediaBundle) {
    clearIfDue()
    guard reserve(bundle.cost) else { return }
    if let id = bundle.displayID { displays[id, default: []].append(entries.count) }
    entries.append(.display(bundle))
  }

  mutating func result(_ bundle: MediaBundle, count: Int) {
    if bundle.representations.isEmpty { return }
    clearIfDue()
    guard reserve(bundle.cost) else { return }
    if let id = bundle.displayID { displays[id, default: []].append(entries.count) }
    entries.append(.result(bundle, count: count))
  }

  /// Replace what was shown under the bundle's display id.
  mutating func update(_ bundle: MediaBundle) {
    guard let id = bundle.displayID, let places = displays[id] else { return }
    for place in places {
      switch entries[place] {
      case .display(let old):
        displayBytes -= old.cost
        if reserve(bundle.cost, else: old.cost) { entries[place] = .display(bundle) }
      case .result(let old, let count):
        displayBytes -= old.cost
        if reserve(bundle.cost, else: old.cost) { entries[place] = .result(bundle, count: count) }
      default: continue
      }
    }
  }

  mutating func error(name: String, value: String, traceback: [String]) {
    clearIfDue()
    entries.append(
      .error([
        "output_type": "error", "ename": .string(name), "evalue": .string(value),
        "traceback": .array(traceback.map(JSON.string)),
      ]))
  }

  /// Drop what was shown, now or when the next output comes.
  mutating func clear(wait: Bool) {
    clearsBeforeNext = true
    if !wait { clearIfDue() }
  }

  private mutating func clearIfDue() {
    guard clearsBeforeNext else { return }
    self = CellOutputs(bounds: bounds)
  }

  /// Take `cost` from what displays may use; if that is too much, count a lost display and take `fallback`.
  private mutating func reserve(_ cost: Int, else fallback: Int = 0) -> Bool {
    let fits = displayBytes + cost <= bounds.displays
    displayBytes += fits ? cost : fallback
    if !fits { lostDisplays += 1 }
    return fits
  }

  /// The outputs as a notebook keeps them, with a sentence where something is missing.
  func written() -> [JSON] {
    var outputs = entries.map(\.written)
    for stream in [Stream.stdout, .stderr] {
      guard let bytes = lost[stream] else { continue }
      append(
        "\n[lauter: \(sizeText(bytes)) more were not kept; --max-output]\n", to: stream,
        of: &outputs)
    }
    if lostDisplays > 0 {
      let text = "\n[lauter: \(countText(lostDisplays, "display")) not kept; --max-display]\n"
      append(text, to: .stderr, of: &outputs)
    }
    return outputs
  }

  /// Put a sentence behind the last output of a stream, or at the end.
  private func append(_ text: String, to stream: Stream, of outputs: inout [JSON]) {
    let index = entries.lastIndex { if case .stream(stream, _) = $0 { true } else { false } }
    if let index, case .stream(_, let bytes) = entries[index] {
      outputs[index] = Entry.stream(stream, bytes.withoutTornCharacter + text.utf8).written
    } else {
      outputs.append(Entry.stream(stream, Array(text.utf8)).written)
    }
  }
}

extension CellOutputs.Entry {
  fileprivate var written: JSON {
    switch self {
    case .stream(let stream, let bytes):
      return [
        "output_type": "stream", "name": .string(stream.rawValue),
        "text": .lines(String(decoding: bytes, as: UTF8.self)),
      ]
    case .display(let bundle):
      return [
        "output_type": "display_data", "data": bundle.data, "metadata": bundle.outputMetadata,
      ]
    case .result(let bundle, let count):
      return [
        "output_type": "execute_result", "data": bundle.data, "metadata": bundle.outputMetadata,
        "execution_count": .number(String(count)),
      ]
    case .error(let value): return value
    }
  }
}

extension [UInt8] {
  /// Without the beginning of a UTF-8 character at the end, which a cut leaves there.
  fileprivate var withoutTornCharacter: [UInt8] {
    guard let lead = suffix(3).lastIndex(where: { $0 & 0xC0 != 0x80 }) else { return self }
    let need = self[lead] >= 0xF0 ? 4 : self[lead] >= 0xE0 ? 3 : self[lead] >= 0xC0 ? 2 : 1
    return count - lead < need ? Array(prefix(lead)) : self
  }
}
