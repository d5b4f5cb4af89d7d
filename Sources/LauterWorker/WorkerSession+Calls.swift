// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// Memory that a part is built in.
struct LentMemory {
  let address: UnsafeMutableRawPointer
  let size: Int
  /// Nil if it is not in the arena.
  let place: Place?
}

extension WorkerSession {
  // MARK: Calls

  /// Calls that the host has not answered, at most.
  private static let waitingMost = 1024

  /// A call of the host's that waits for its answer: its index.
  func unansweredCall(_ id: UInt64) throws(SessionError) -> Int {
    guard let index = unanswered.firstIndex(of: id) else { throw .staleCall(id) }
    return index
  }

  func newCall() throws(SessionError) -> UInt64 {
    guard waiting.count < WorkerSession.waitingMost else {
      throw SessionError(
        LAUTER_ERROR_LIMIT, subject: "calls",
        "\(WorkerSession.waitingMost) calls wait for their answers")
    }
    let id = nextCall
    nextCall += 1
    waiting.append(id)
    return id
  }

  package func cancelCall(_ id: UInt64) throws(SessionError) {
    try enter()
    defer { leave() }
    guard id > 0, id < nextCall else { throw .staleCall(id) }
    if let index = waiting.firstIndex(of: id) {
      waiting.remove(at: index)
      appendControl(.interrupt, id: id)
      flushControl()
      wakeSleepers()
    } else {
      _ = arrivals.take(.answer(id))
      releaseReturned()
    }
  }

  // MARK: Memory to build parts in

  /// Whether large parts may be left where they lie.
  var hostReadsInPlace: Bool { greeting?.abilities.contains(.readsInPlace) ?? false }

  package func lend(_ size: Int) throws(SessionError) -> UnsafeMutableRawPointer {
    guard size > 0, size <= Int(Wire.messageMax) else {
      throw SessionError(
        LAUTER_ERROR_INVALID, subject: "size", "\(size) is no size of 1 byte to 1 GiB")
    }
    try enter()
    defer { leave() }
    flushControl()
    if !isReading { receive() }
    lastPlaced = lx_now()
    let place = writer?.take(UInt64(size))
    guard let address = place.flatMap({ writer?.bytes($0).baseAddress }) ?? lx_malloc(size) else {
      throw .outOfMemory("a part of \(size) bytes")
    }
    lent.append(LentMemory(address: address, size: size, place: place))
    return address
  }

  package func unlend(_ address: UnsafeMutableRawPointer) throws(SessionError) {
    try enter()
    defer { leave() }
    guard let index = lent.firstIndex(where: { $0.address == address }) else {
      throw SessionError(
        LAUTER_ERROR_INVALID, subject: "memory", "this memory was not lent, or was sent")
    }
    let memory = lent.remove(at: index)
    if let place = memory.place {
      writer?.cut(place, into: [])
    } else {
      lx_free(memory.address)
    }
  }

  /// Takes lent memory of the arena that a part lies in; nil if it lies elsewhere.
  func takeLent(_ part: UnsafeRawBufferPointer) -> Place? {
    relock()
    defer { unlock() }
    guard
      let index = lent.firstIndex(where: {
        UnsafeRawPointer($0.address) == part.baseAddress && $0.place != nil
          && part.count <= $0.size
      })
    else { return nil }
    return lent.remove(at: index).place
  }

  /// Ordinary memory that was lent goes once it was sent. With the lock.
  func freeLent(_ address: UnsafeRawPointer?) {
    guard
      let index = lent.firstIndex(where: {
        UnsafeRawPointer($0.address) == address && $0.place == nil
      })
    else { return }
    lx_free(lent.remove(at: index).address)
  }
}
